"""PostgreSQL: a server; writers take turns by an advisory lock, so `write` promises what it promises on SQLite."""

import re
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pydantic_core import to_json
from sqlalchemy import URL, Connection, Engine, create_engine

from fettle.errors import InvalidInput

CONNECT_TIMEOUT_SECONDS = 10
TURN_TIMEOUT_SECONDS = 60
#: Whoever holds this in a database writes there; any number does, as long as all agree.
_TURN = int.from_bytes(b"fettle", "big")
_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")
#: Part of what the server or the driver says -> what to do.
_HINTS = {
    "password": "Check user and password in FETTLE_DATABASE_URL.",
    "no pg_hba.conf entry": "The server lets nobody in from here; its pg_hba.conf says who may come.",
    "does not exist": "Make it on the server (`createuser`, `createdb`), or correct FETTLE_DATABASE_URL.",
    "refused": "Start the server, or correct host and port in FETTLE_DATABASE_URL.",
    "No such file": "Start the server, or correct the host in FETTLE_DATABASE_URL.",
    "resolve host": "Correct the host in FETTLE_DATABASE_URL.",
    "translate host": "Correct the host in FETTLE_DATABASE_URL.",
    "timeout expired": "The server does not answer. Check host, port and firewall.",
    "permission denied": "Make the user the owner of the database: ALTER DATABASE name OWNER TO user.",
    "lock timeout": "Another process has been writing for a long time. Look for one that hangs, and try again.",
    "too many": "The server has no connection left. Raise its max_connections, or close other clients.",
    "No space left": "Free some space on the server's disk and try again; nothing was half-written.",
    "closed the connection": "The server was stopped or restarted. Try again; nothing was half-written.",
    "terminating connection": "The server was stopped or restarted. Try again; nothing was half-written.",
    "starting up": "The server is not ready yet. Try again soon.",
    "read-only": "The server is a copy that cannot be written. Give the address of the one it copies.",
    "QueuePool": "All connections have been busy for a long time. Look for a process that hangs, and try again.",
}


class PostgreSQL:
    """A database of a PostgreSQL server, through psycopg 3."""

    product, hints = "PostgreSQL", _HINTS

    def name(self, url: URL) -> str:
        """User, host and database; never the password."""
        user = f"{url.username}@" if url.username else ""
        port = f":{url.port}" if url.port else ""
        host = url.host or url.query.get("host") or "localhost"
        return f"postgresql://{user}{host}{port}/{url.database or ''}"

    def engine(self, url: URL) -> Engine:
        """Connections to the server, each asked whether it still lives before it is used.

        Raises:
            InvalidInput: the driver is not installed.
        """
        settings = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "fettle", **url.query}
        settings["options"] = f"-c lock_timeout={TURN_TIMEOUT_SECONDS}s {url.query.get('options', '')}".strip()
        address = url.set(drivername="postgresql+psycopg", query={})
        try:
            return create_engine(address, connect_args=settings, pool_pre_ping=True, json_serializer=_json)
        except ImportError as error:
            hint = "Install it: pip install 'fettle-ai[postgres]'"
            raise InvalidInput(f"PostgreSQL needs the driver psycopg: {error}", hint=hint) from error

    def begin(self, connection: Connection, *, is_writer: bool) -> None:
        """Begin a transaction; a writer waits until it is the only one.

        With one writer at a time, what a transaction has read stays true until it ends, versions are numbered without
        gaps, and the ids of events rise in the order in which others come to see them.
        """
        if is_writer:
            # Every statement after it sees all that the writers before have committed (READ COMMITTED).
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def opening(self, url: URL) -> AbstractContextManager[None]:
        """Nothing: the writers' turns are enough, the server changes its schema in transactions too."""
        return nullcontext()


def _json(value: Any) -> str:
    """JSON as the server accepts it: numbers that are none as texts, which a record reads as numbers again."""
    text = to_json(value, inf_nan_mode="strings").decode()
    if _NUL.search(text):
        raise InvalidInput("a text holds the character NUL (U+0000), which PostgreSQL cannot keep", hint="Remove it.")
    return text
