import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.clusters.lease import leased
from fettle.services.orphans import Orphans
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.artifacts import ArtifactStore
from fettle.store.database import Database
from fettle.store.files import write_whole
from fettle.store.locks import locked
from fettle.store.repository import Repository
from fettle.testing.consistency import faults_of
from tests.unit.services.conftest import Create

NO_PROCESS = 2**22 + 1


@pytest.fixture
def repository(settings: Settings) -> Iterator[Repository]:
    database = Database.open(settings.database)
    yield Repository(database)
    database.close()


@pytest.fixture
def orphans(platform: Platform, settings: Settings, repository: Repository) -> Orphans:
    return Orphans(settings.home, repository, ArtifactStore(settings.home / "artifacts", repository))


def test_an_installation_at_work_has_none(create: Create, platform: Platform, orphans: Orphans) -> None:
    job = create()
    platform.custom_models.card_folder(platform.tuning_jobs.run(create().id))
    with leased(platform.tuning_jobs.folder(job.id), "a job"):
        write_whole(platform.settings.home / f".writing.{os.getpid()}", b"")
        assert orphans.find() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_belongs_to_nothing_is_told_and_removed_when_asked(
    platform: Platform, create: Create, orphans: Orphans, repository: Repository, tmp_path: Path
) -> None:
    home, model = platform.settings.home, platform.tuning_jobs.run(create().id)
    left = [
        home / "cards" / "model_deleted" / "README.md",
        home / "jobs" / "job_nobody" / "tune.json",
        home / "models" / "killed" / "config.json",
        home / "models" / ".half.partial" / "config.json",
        home / "cards" / model.id / f".README.md.{NO_PROCESS}",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("left")
    lease = platform.tuning_jobs.folder(model.job_id) / "holder.json"
    lease.write_text('{"runner": {"pid": 4194305, "started": "1"}}')
    (tmp_path / "loose").write_text("nobody's")
    unnamed = ArtifactStore(home / "artifacts", repository).add({"loose": tmp_path / "loose"})

    found = orphans.find()
    assert len(found) == len(left) + 2
    assert all(path.exists() for path in (*left, lease))
    assert orphans.remove() == found
    assert orphans.find() == []
    assert not any(path.exists() for path in (*left, lease))
    assert not list(home.glob(f"artifacts/*/{unnamed.hash}"))
    assert platform.custom_models.path(model).exists()
    assert not any(faults_of(platform).values())


def test_a_model_that_is_being_pulled_is_no_orphan(platform: Platform, orphans: Orphans) -> None:
    partial = platform.settings.home / "models" / ".coming.partial"
    partial.mkdir(parents=True)
    with locked(partial.with_name(".coming.lock")):
        assert orphans.find() == []
    assert [orphan.path for orphan in orphans.find()] == [partial]
