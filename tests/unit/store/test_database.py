import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from fettle.errors import StorageFailed
from fettle.store import migrate
from fettle.store.database import Database
from fettle.store.tables import METADATA

OPEN = """
import sys
from pathlib import Path
from fettle.store.database import Database
sys.stdin.read()
Database.open(Path(sys.argv[1])).close()
"""


def test_the_migrations_make_exactly_the_tables_of_the_models(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_the_newest_revision_is_the_one_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.NEWEST]


def test_what_is_there_stays_when_the_schema_becomes_newer_and_older(tmp_path: Path) -> None:
    database = Database(tmp_path / "old.db")
    job = "INSERT INTO tuning_jobs VALUES ('j', 'succeeded', 'd', '2026-01-01', '{}')"
    model = "INSERT INTO custom_models VALUES ('m', 'red', 1, 'active', 'b', 'j', 'a', '2026-01-01', '{}')"
    with database.write() as connection:
        migrate.run(connection, "0001")
        for statement in (job, model):
            connection.execute(text(statement))
    for target in (migrate.NEWEST, "0001"):
        with database.write() as connection:
            migrate.run(connection, target)
        with database.read() as connection:
            assert connection.execute(text("SELECT id FROM custom_models")).scalar() == "m"
            assert migrate.revision(connection) == target
    database.close()


def test_readers_and_writers_do_not_wait_for_each_other_and_references_are_checked(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("SELECT count(*) FROM base_models")).scalar() == 0
        with database.write() as writer:
            writer.execute(text("INSERT INTO base_models VALUES ('a', '{}')"))
        assert connection.execute(text("SELECT count(*) FROM base_models")).scalar() == 0


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def fail_in_the_middle() -> None:
        with database.write() as writer:
            writer.execute(text("INSERT INTO base_models VALUES ('a', '{}')"))
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_middle()
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM base_models")).scalar() == 0


def test_processes_that_start_at_once_all_find_the_newest_schema(tmp_path: Path) -> None:
    path = tmp_path / "fettle.db"
    command = [sys.executable, "-c", OPEN, str(path)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 4
    database = Database(path)
    with database.read() as connection:
        assert migrate.revision(connection) == migrate.NEWEST
    database.close()


def test_a_file_that_is_no_database_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "fettle.db"
    path.write_bytes(b"not a database at all, whatever its name says" * 100)
    with pytest.raises(StorageFailed, match=r"(?s)not a database.*backup"):
        Database.open(path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(StorageFailed, match="cannot be opened"):
        Database.open(tmp_path / "home" / "fettle.db")


def test_a_full_disk_is_told_and_what_was_there_stays(database: Database) -> None:
    with database.write() as writer:
        writer.execute(text("INSERT INTO base_models VALUES ('before', '{}')"))
        pages = writer.execute(text("PRAGMA page_count")).scalar()

    def write_more_than_fits() -> None:
        with database.write() as writer:
            writer.execute(text(f"PRAGMA max_page_count={pages}"))
            writer.execute(text("INSERT INTO base_models VALUES ('big', :body)"), {"body": "x" * 1_000_000})

    with pytest.raises(StorageFailed, match=r"(?s)full.*space"):
        write_more_than_fits()
    with database.write() as writer:
        writer.execute(text("PRAGMA max_page_count=1000000"))
        writer.execute(text("INSERT INTO base_models VALUES ('after', '{}')"))
        assert set(writer.execute(text("SELECT name FROM base_models")).scalars()) == {"before", "after"}


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    with database.write() as writer:
        writer.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageFailed, match=r"(?s)9999.*newer version"):
        Database.open(database.path)
