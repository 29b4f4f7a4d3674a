"""A store of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.store.artifacts import ArtifactStore
from fettle.store.database import Database
from fettle.store.repository import Repository


@pytest.fixture
def repository(database_url: str, tmp_path: Path) -> Iterator[Repository]:
    database = Database.open(database_url or tmp_path / "fettle.db")
    yield Repository(database)
    database.close()


@pytest.fixture
def artifacts(tmp_path: Path, repository: Repository) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", repository)
