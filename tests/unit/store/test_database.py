import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from fettle.errors import InvalidInput, StorageFailed
from fettle.store import migrate
from fettle.store.database import Database
from fettle.store.tables import METADATA

OPEN = """
import sys
from fettle.store.database import Database
sys.stdin.read()
Database.open(sys.argv[1]).close()
"""
ADD = "INSERT INTO base_models VALUES (:name, '{}')"
NAMES = "SELECT name FROM base_models ORDER BY name"


def test_the_migrations_make_exactly_the_tables_of_the_models(empty_url: str) -> None:
    database = Database.open(empty_url)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    database.close()


def test_the_newest_revision_is_the_one_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.NEWEST]


def test_what_is_there_stays_when_the_schema_becomes_newer_and_older(empty_url: str) -> None:
    database = Database(empty_url)
    job = "INSERT INTO tuning_jobs VALUES ('j', 'succeeded', 'd', '2026-01-01', '{}')"
    model = "INSERT INTO custom_models VALUES ('m', 'red', 1, 'active', 'b', 'j', 'a', '2026-01-01', '{}')"
    with database.write() as connection:
        migrate.run(connection, "0001")
        for statement in (job, model):
            connection.execute(text(statement))
    for target in (migrate.NEWEST, "0001", migrate.NEWEST):
        with database.write() as connection:
            migrate.run(connection, target)
        with database.read() as connection:
            assert connection.execute(text("SELECT id FROM custom_models")).scalar() == "m"
            assert migrate.revision(connection) == target
    database.close()


def test_a_migration_that_fails_changes_nothing(empty_url: str) -> None:
    database = Database(empty_url)

    def fail_after_a_migration() -> None:
        with database.write() as connection:
            migrate.run(connection, "0002")
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_a_migration()
    with database.read() as connection:
        assert inspect(connection).get_table_names() == []
    database.close()


def test_readers_and_writers_do_not_wait_for_each_other_and_see_one_moment(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM base_models")).scalar() == 0
        with database.write() as writer:
            writer.execute(text(ADD), {"name": "a"})
        assert connection.execute(text("SELECT count(*) FROM base_models")).scalar() == 0
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM base_models")).scalar() == 1


def test_references_are_checked(database: Database) -> None:
    model = "INSERT INTO custom_models (id, name, version, state, base, job_id, artifact, created_at, body)"
    values = "VALUES ('m', 'red', 1, 'active', 'b', 'nobody', 'a', '2026-01-01', '{}')"
    with pytest.raises(Exception, match=r"(?i)foreign key"), database.write() as writer:
        writer.execute(text(f"{model} {values}"))


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def fail_in_the_middle() -> None:
        with database.write() as writer:
            writer.execute(text(ADD), {"name": "a"})
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_middle()
    with database.read() as connection:
        assert connection.execute(text(NAMES)).scalars().all() == []


def test_of_many_writers_at_once_each_sees_what_those_before_it_did(database: Database) -> None:
    other = Database(database.url)

    def add_the_next(n: int) -> None:
        with (database if n % 2 else other).write() as writer:
            count = writer.execute(text("SELECT count(*) FROM base_models")).scalar()
            writer.execute(text(ADD), {"name": f"{count:03}"})

    with ThreadPoolExecutor(64) as pool:  # more than there are connections
        list(pool.map(add_the_next, range(256)))
    with database.read() as connection:
        assert connection.execute(text(NAMES)).scalars().all() == [f"{n:03}" for n in range(256)]
    other.close()


def test_processes_that_start_at_once_all_find_the_newest_schema(empty_url: str) -> None:
    command = [sys.executable, "-c", OPEN, empty_url]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 4
    database = Database(empty_url)
    with database.read() as connection:
        assert migrate.revision(connection) == migrate.NEWEST
    database.close()


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    with database.write() as writer:
        writer.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageFailed, match=r"(?s)9999.*newer version"):
        Database.open(database.url)


def test_a_path_is_a_file_of_sqlite(tmp_path: Path) -> None:
    Database.open(tmp_path / "fettle.db").close()
    assert (tmp_path / "fettle.db").read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me:secret@host/fettle", r"(?s)kind 'mysql'.*postgresql://"),
        ("secret", r"(?s)cannot be read.*postgresql://"),
        ("postgresql://me:secret@host:port/fettle", r"(?s)cannot be read.*postgresql://"),
        ("sqlite://", r"(?s)needs a file.*sqlite:///"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_its_password(url: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as told:
        Database.open(url)
    assert "secret" not in str(told.value)
