"""A database of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.store.database import Database
from fettle.store.repository import Repository


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "fettle.db")
    yield opened
    opened.close()


@pytest.fixture
def repository(database: Database) -> Repository:
    return Repository(database)
