"""Brings a database to the newest schema, by the revisions in `migrations/`."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from fettle.errors import StorageFailed

FOLDER = Path(__file__).parent / "migrations"
# Known here so that a database which is up to date (nearly every start) needs no Alembic; a test holds it true.
NEWEST = "0009"


def upgrade(connection: Connection) -> None:
    """Run the revisions that the database does not have yet, inside the connection's transaction.

    Raises:
        StorageFailed: the database was made by a newer Fettle.
    """
    if revision(connection) != NEWEST:
        run(connection, NEWEST)


def revision(connection: Connection) -> str | None:
    """The revision that the database is at; None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def run(connection: Connection, target: str) -> None:
    """Bring the database to the revision `target`, which may be an older one.

    Raises:
        StorageFailed: the database was made by a newer Fettle.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        is_newer = target > (revision(connection) or "")
        (command.upgrade if is_newer else command.downgrade)(config, target)
    except CommandError as error:
        raise StorageFailed(
            f"the database is at revision {revision(connection)!r}, which this Fettle does not know",
            hint="A newer version made it. Install that, or choose another by FETTLE_HOME or FETTLE_DATABASE_URL.",
        ) from error
