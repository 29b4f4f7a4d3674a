"""SQLite: a file with a write-ahead log; whoever writes has it to himself from the start of the transaction."""

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from fettle.errors import InvalidInput
from fettle.store.locks import locked

BUSY_TIMEOUT_SECONDS = 60
#: Part of what the driver says -> what to do.
_HINTS = {
    "disk is full": "Free some space on its disk and try again; nothing was half-written.",
    "readonly": "Give its owner the right to write, or choose another folder with FETTLE_HOME.",
    "unable to open": "Check that the folder exists and can be written, or choose another with FETTLE_HOME.",
    "not a database": "Move the file away (a backup, perhaps, is there to take its place) and try again.",
    "malformed": "The file is damaged. Put a backup in its place, or move it away to start anew.",
    "locked": "Another process has been writing for a long time. Look for one that hangs, and try again.",
    "disk I/O": "The disk is full or failing. Free some space and try again.",
}


class SQLite:
    """The database in a file, which needs no server."""

    product, hints = "SQLite", _HINTS

    def name(self, url: URL) -> str:
        """The file."""
        return str(url.database)

    def engine(self, url: URL) -> Engine:
        """Connections to the file.

        Raises:
            InvalidInput: the URL names no file.
        """
        if not url.database or url.database == ":memory:":
            raise InvalidInput("a SQLite database needs a file", hint="FETTLE_DATABASE_URL=sqlite:////folder/fettle.db")
        engine = create_engine(url.set(drivername="sqlite"), connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
        event.listen(engine, "connect", _prepare)
        return engine

    def begin(self, connection: Connection, *, is_writer: bool) -> None:
        """Begin a transaction; a writer waits until it is the only one."""
        # IMMEDIATE: a writer waits for its turn at the start; it can never find later that others wrote meanwhile.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    def opening(self, url: URL) -> AbstractContextManager[None]:
        """Have the file to oneself while it is prepared."""
        # Switching to the write-ahead log does not wait for others as statements do, hence a lock outside.
        return locked(Path(str(url.database)).with_name("start.lock"))


def _prepare(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; the driver would say it too late for a safe upgrade
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
