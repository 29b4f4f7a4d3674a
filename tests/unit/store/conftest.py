"""A database of its own for each test, of every kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.store.database import Database
from fettle.store.repository import Repository


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(database_url or tmp_path / "fettle.db")
    yield opened
    opened.close()


@pytest.fixture
def repository(database: Database) -> Repository:
    return Repository(database)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with two files of 25,602 bytes together."""
    folder = tmp_path / "source"
    (folder / "inner").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "inner" / "weights").write_bytes(bytes(range(256)) * 100)
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a database without any table is, of every kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    with request.getfixturevalue("postgres").database(is_empty=True) as url:
        yield url
