"""Which home folder something that several could reach belongs to: two homes would sweep each other's files."""

from pathlib import Path

from sqlalchemy import Connection, RowMapping, insert, select

from fettle.errors import Conflict
from fettle.store.database import Database
from fettle.store.files import write_whole
from fettle.store.locks import locked
from fettle.store.tables import installation
from fettle.types.ids import new_id, now

ID_FILE = "home.id"


def claim(database: Database, home: Path) -> None:
    """Have a database belong to this home folder, if it belongs to none yet.

    The folder has a file with its id, so it may be moved.

    Raises:
        Conflict: it belongs to another.
        StorageFailed: the folder cannot be written.
    """
    with database.read() as connection:
        owner, mine = _owner(connection), _id_of(home)
    if owner is None:
        with database.write() as connection:  # who was first has it, hence another look
            owner = _owner(connection) or _record(connection, home)
        mine = _id_of(home)
    if owner["id"] != mine:
        raise Conflict(
            f"the database {database.name} belongs to another home folder, made as {owner['home']}",
            hint="Give each home a database of its own by FETTLE_DATABASE_URL, or set FETTLE_HOME to that folder.",
            param="database_url",
        )


def home_id(home: Path) -> str:
    """What this home folder is called, wherever it is moved; made at the first question.

    Raises:
        StorageFailed: the folder cannot be written.
    """
    with locked(home / f"{ID_FILE}.lock"):
        found = _id_of(home)
        if found is None:
            found = new_id("home")
            write_whole(home / ID_FILE, found.encode())
    return found


def _owner(connection: Connection) -> RowMapping | None:
    return connection.execute(select(installation)).mappings().first()


def _record(connection: Connection, home: Path) -> RowMapping:
    """The id is in the folder first: a process that is killed in between has claimed nothing."""
    connection.execute(insert(installation).values(id=home_id(home), home=str(home), created_at=now()))
    owner = _owner(connection)
    assert owner is not None
    return owner


def _id_of(home: Path) -> str | None:
    path = home / ID_FILE
    return path.read_text(encoding="ascii").strip() if path.exists() else None
