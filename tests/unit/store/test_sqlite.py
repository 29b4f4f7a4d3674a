from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from fettle.errors import StorageFailed
from fettle.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "fettle.db")
    yield opened
    opened.close()


def test_there_is_a_write_ahead_log(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


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
