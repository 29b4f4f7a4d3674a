"""An installation whose artifacts are at a URL: the copies in its home may go at any time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.cli import checks
from fettle.services.backup import back_up, restore
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.files import files_in
from fettle.store.remote_folders import RemoteFolders
from fettle.testing.consistency import faults_of
from fettle.testing.model_files import write_model_files
from tests.unit.services.conftest import WORKERS, Create


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", threads=1, artifacts_url=f"memory://{tmp_path}/bucket")


@pytest.fixture
def platform(settings: Settings, tmp_path: Path) -> Iterator[Platform]:
    with Platform(settings, WORKERS) as opened:
        opened.base_models.pull(write_model_files(tmp_path / "small"))
        yield opened


def lose_copies(settings: Settings) -> None:
    shutil.rmtree(settings.home / "artifacts")


def test_a_job_and_its_model_need_no_copies(create: Create, platform: Platform, settings: Settings) -> None:
    job = create()
    lose_copies(settings)
    model = platform.tuning_jobs.run(job.id)
    lose_copies(settings)
    assert files_in(platform.custom_models.path(model))
    assert not any(faults_of(platform).values())


def test_a_deleted_model_is_gone_there_too(create: Create, platform: Platform, settings: Settings) -> None:
    model = platform.tuning_jobs.run(create().id)
    assert len(RemoteFolders(settings.artifacts_url, settings.home).listing()) == 2
    platform.custom_models.delete(model.full_name)
    assert model.artifact not in RemoteFolders(settings.artifacts_url, settings.home).listing()


def test_a_backup_holds_what_is_only_at_the_url(
    create: Create, platform: Platform, settings: Settings, tmp_path: Path
) -> None:
    model = platform.tuning_jobs.run(create().id)
    lose_copies(settings)
    back_up(settings, tmp_path / "backup.tar")
    other = settings.model_copy(
        update={"home": tmp_path / "other", "artifacts_url": f"{settings.artifacts_url}-of-the-other"}
    )
    restore(other, tmp_path / "backup.tar")
    lose_copies(other)
    with Platform(other, WORKERS) as restored:
        assert files_in(restored.custom_models.path(restored.custom_models.get(model.full_name)))


def test_the_doctor_sends_what_was_kept_before(settings: Settings, tmp_path: Path) -> None:
    without = settings.model_copy(update={"artifacts_url": ""})
    with Platform(without, WORKERS) as before, before.files.draft() as draft:
        draft.write_text("kept")
        file = before.files.keep(draft, "kept.txt", "batch")
    (finding,) = checks.artifacts(settings)
    assert finding.found == "1 artifacts are not at their URL, 0 there belong to nothing"
    assert [one.found for one in checks.mend(settings)] == ["1 artifacts sent to their URL"]
    assert checks.artifacts(settings)[0].state == "ok"
    lose_copies(settings)
    with Platform(settings, WORKERS) as after:
        assert after.files.path(file).read_text() == "kept"
