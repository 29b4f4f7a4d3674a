"""The database: a file (SQLite) or a server (PostgreSQL), one writer at a time, errors that say what to do."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, Self

from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    TimeoutError,  # noqa: A004 - SQLAlchemy's: no connection became free
)

from fettle.errors import InvalidInput, StorageFailed
from fettle.store.migrate import upgrade
from fettle.store.postgresql import PostgreSQL
from fettle.store.sqlite import SQLite

_EXPECTED = "Expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:////FOLDER/FILE."
_UNDER_RIGHTS = "42501"


class Backend(Protocol):
    """What kinds of databases differ in."""

    @property
    def hints(self) -> Mapping[str, str]:
        """Part of what the driver says -> what to do."""

    @property
    def product(self) -> str:
        """What it is called by its makers."""

    def name(self, url: URL) -> str:
        """What to call the database in messages; without secrets."""

    def engine(self, url: URL) -> Engine:
        """Connections to it."""

    def begin(self, connection: Connection, *, is_writer: bool) -> None:
        """Begin a transaction: a reader's sees one moment, a writer's has no other writer beside it."""

    def opening(self, url: URL) -> AbstractContextManager[None]:
        """A block in which the schema may be brought up to date."""


BACKENDS: dict[str, Backend] = {"sqlite": SQLite(), "postgresql": PostgreSQL(), "postgres": PostgreSQL()}


class Database:
    """Connections to one database; each block of `read` or `write` is one transaction."""

    def __init__(self, place: Path | URL | str) -> None:
        """The database in a file (a path) or at a URL, which `open` prepares.

        Raises:
            InvalidInput: the URL cannot be read, or its driver is not installed.
        """
        self.url = _url(place)
        self._backend = BACKENDS[self.url.get_backend_name()]
        self.name = self._backend.name(self.url)
        self.engine = self._backend.engine(self.url)
        event.listen(self.engine, "begin", self._begin)

    @classmethod
    def open(cls, place: Path | URL | str) -> Self:
        """The database at `place`, made if needed (a file) and brought to the newest schema.

        Safe with several processes that start at once.

        Raises:
            InvalidInput: see above.
            StorageFailed: it cannot be opened or written, is damaged, or of a newer version.
        """
        database = cls(place)
        try:
            with database.prepared() as connection:
                upgrade(connection)
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def prepared(self) -> Iterator[Connection]:
        """A transaction in which the schema may be changed, as that of `write` otherwise."""
        with self._backend.opening(self.url), self.write() as connection:
            yield connection

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

    @property
    def product(self) -> str:
        """Of which kind it is, by the name that its makers gave it."""
        return self._backend.product

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def _begin(self, connection: Connection) -> None:
        self._backend.begin(connection, is_writer=connection.get_execution_options().get("is_writer", False))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # a rule of the schema, which the caller knows the meaning of
        except DataError as error:
            raise InvalidInput(f"the database cannot keep a value: {_reason(error)}", hint="Change it.") from error
        except (DatabaseError, TimeoutError, sqlite3.DatabaseError) as error:
            if _is_a_bug(error):
                raise
            raise self._failure(_reason(error)) from error

    def _failure(self, reason: str) -> StorageFailed:
        hint = next((hint for part, hint in self._backend.hints.items() if part in reason), "")
        return StorageFailed(f"the database {self.name} cannot be used: {reason}", hint=hint)


def _url(place: Path | URL | str) -> URL:
    """The place as a URL; of one that cannot be read only the kind is told, for the rest may hold a password."""
    if isinstance(place, Path):
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
    except (ArgumentError, ValueError):
        raise InvalidInput("the database URL cannot be read", hint=_EXPECTED, param="database_url") from None
    if url.get_backend_name() not in BACKENDS:
        message = f"there is no database of the kind {url.get_backend_name()!r}"
        raise InvalidInput(message, hint=_EXPECTED, param="database_url")
    return url


def _is_a_bug(error: Exception) -> bool:
    """Whether it is a wrong statement, and not a place that cannot be used."""
    if isinstance(error, ProgrammingError):
        return getattr(error.orig, "sqlstate", None) != _UNDER_RIGHTS
    places = (OperationalError, TimeoutError, sqlite3.OperationalError)
    return not isinstance(error, places) and type(error) not in (DatabaseError, sqlite3.DatabaseError)


def _reason(error: Exception) -> str:
    """What the driver says, on one line; never the statement's values."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
