"""The embedded database: SQLite with a write-ahead log, one writer at a time, errors that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from fettle.errors import StorageFailed
from fettle.store.locks import locked
from fettle.store.migrate import upgrade

BUSY_TIMEOUT_SECONDS = 60
_HINTS = {
    "disk is full": "Free some space on its disk and try again; nothing was half-written.",
    "readonly": "Give its owner the right to write, or choose another folder with FETTLE_HOME.",
    "unable to open": "Check that the folder exists and can be written, or choose another with FETTLE_HOME.",
    "not a database": "Move the file away (a backup, perhaps, is there to take its place) and try again.",
    "malformed": "The file is damaged. Put a backup in its place, or move it away to start anew.",
    "locked": "Another process has been writing for a long time. Look for one that hangs, and try again.",
    "disk I/O": "The disk is full or failing. Free some space and try again.",
}


class Database:
    """Connections to one database file; each block of `read` or `write` is one transaction."""

    def __init__(self, path: Path) -> None:
        """A database in the file `path`, which `open` prepares."""
        self.path = path
        self.engine = _engine(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The database at `path`, made if needed and brought to the newest schema.

        Safe with several processes that start at once.

        Raises:
            StorageFailed: it cannot be opened or written, or is damaged.
        """
        database = cls(path)
        # Switching to the write-ahead log does not wait for others as statements do, hence a lock outside.
        with locked(path.with_name("start.lock")), database.write() as connection:
            upgrade(connection)
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the database."""
        with self._told(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that no other writer runs beside; all or nothing of it is kept."""
        with self._told(), self.engine.connect() as connection:
            writer = connection.execution_options(is_writer=True)
            with writer.begin():
                yield writer

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # a rule of the schema, which the caller knows the meaning of
        except (OperationalError, sqlite3.OperationalError) as error:
            raise self._failure(error) from error
        except (DatabaseError, sqlite3.DatabaseError) as error:
            if type(error) in (DatabaseError, sqlite3.DatabaseError):
                raise self._failure(error) from error
            raise

    def _failure(self, error: Exception) -> StorageFailed:
        reason = str(getattr(error, "orig", None) or error)
        hint = next((hint for part, hint in _HINTS.items() if part in reason), "")
        return StorageFailed(f"the database {self.path} cannot be used: {reason}", hint=hint)


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; the driver would say it too late for a safe upgrade
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    # IMMEDIATE: a writer waits for its turn at the start; it can never find later that others wrote meanwhile.
    is_writer = connection.get_execution_options().get("is_writer", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")
