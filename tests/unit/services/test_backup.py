import io
import tarfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from fettle.errors import Conflict, InvalidInput, StorageFailed
from fettle.services.backup import back_up, restore
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.database import Database
from fettle.store.repository import STORED, Repository
from fettle.testing.consistency import faults_of
from fettle.testing.model_files import write_model_files
from fettle.types.resources import BaseModelEntry, TuningJob
from fettle.types.tuning import TuningSpec
from tests.unit.services.conftest import Rows


@pytest.fixture
def other(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Another home, with a database of the same kind of its own."""
    is_file = not settings.database_url
    with nullcontext("") if is_file else request.getfixturevalue("postgres").database() as url:
        yield settings.model_copy(update={"home": tmp_path / "other", "database_url": url})


def everything(settings: Settings) -> dict[str, list[object]]:
    database = Database.open(settings.database)
    try:
        return {stored.what: list(Repository(database).find(kind)) for kind, stored in STORED.items()}
    finally:
        database.close()


def moved(settings: Settings, records: dict[str, list[object]], other: Settings) -> dict[str, list[object]]:
    """The records with the paths that they have in the other home."""
    paths = {BaseModelEntry: ("path",), TuningJob: ("train_path",)}
    return {
        what: [
            record.model_copy(  # type: ignore[attr-defined]
                update={
                    name: getattr(record, name).replace(str(settings.home), str(other.home))
                    for name in paths.get(type(record), ())  # type: ignore[call-overload]
                }
            )
            for record in found
        ]
        for what, found in records.items()
    }


@pytest.fixture
def file(settings: Settings, tmp_path: Path, rows: Rows) -> Path:
    """A backup of an installation that is still open, with a base model, a job that is half done, and a file."""
    with Platform(settings) as platform:
        platform.base_models.pull(write_model_files(tmp_path / "small"))
        job = platform.tuning_jobs.create(TuningSpec(base="small", method="lora", name="tickets"), rows("go"))
        checkpoint = platform.tuning_jobs.folder(job.id) / "work" / "step"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_text("3")
        with platform.files.draft() as draft:
            draft.write_text("kept")
            platform.files.keep(draft, "kept.txt", "batch")
        (settings.home / "api-key").write_text("digest")
        back_up(settings, tmp_path / "backup.tar")
    return tmp_path / "backup.tar"


def test_a_restored_home_has_every_record_file_and_checkpoint(file: Path, settings: Settings, other: Settings) -> None:
    other.home.mkdir()  # as a disk of its own would be
    restore(other, file)
    assert everything(other) == moved(settings, everything(settings), other)
    with Platform(other) as platform:
        assert not any(faults_of(platform).values())
        (job,) = platform.tuning_jobs.list()
        assert Path(job.train_path).is_relative_to(other.home)
        assert (platform.tuning_jobs.folder(job.id) / "work" / "step").read_text() == "3"
        assert Path(platform.base_models.get("small").path, "config.json").exists()
        (kept,) = platform.files.page(limit=5)
        assert platform.files.path(kept).read_text() == "kept"
        assert (other.home / "api-key").read_text() == "digest"


def test_it_goes_on_counting_where_it_was(file: Path, settings: Settings, other: Settings) -> None:
    restore(other, file)
    with Platform(other) as platform:
        (job,) = platform.tuning_jobs.list()
        before = platform.audit.newest(limit=1)[0].id
        platform.tuning_jobs.stop(job.id, "cancelled")
        assert platform.audit.newest(limit=1)[0].id > before
        assert [event.type for event in platform.tuning_jobs.events(job.id)] == ["created", "cancelled"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_there_already_is_left_alone(file: Path, settings: Settings) -> None:
    with pytest.raises(Conflict, match="not empty"):
        restore(settings, file)
    with pytest.raises(Conflict, match="there already"):
        back_up(settings, file)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_that_holds_something_is_left_alone(file: Path, settings: Settings, tmp_path: Path) -> None:
    before = everything(settings)
    with pytest.raises(Conflict, match="the database is not empty"):
        restore(settings.model_copy(update={"home": tmp_path / "other"}), file)
    assert everything(settings) == before
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_no_backup_or_damaged_is_refused_and_leaves_nothing(file: Path, other: Settings) -> None:
    damaged, cut, foreign = (file.with_name(f"{name}.tar") for name in ("damaged", "cut", "foreign"))
    damaged.write_bytes(file.read_bytes().replace(b"kept", b"swap", 1))
    cut.write_bytes(file.read_bytes()[:3000])
    with tarfile.open(foreign, "w") as archive:
        archive.addfile(tarfile.TarInfo("something"), io.BytesIO())
    for path, error in ((damaged, StorageFailed), (cut, InvalidInput), (foreign, InvalidInput)):
        with pytest.raises(error, match=r"damaged|no whole backup|no backup"):
            restore(other, path)
    assert [path.name for path in other.home.parent.iterdir() if "other" in path.name] == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_second_home_on_one_database_is_refused_and_a_moved_one_is_not(settings: Settings, tmp_path: Path) -> None:
    Platform(settings).close()
    with pytest.raises(Conflict, match=f"belongs to another home folder, made as {settings.home}"):
        Platform(settings.model_copy(update={"home": tmp_path / "second"}))
    settings.home.rename(tmp_path / "elsewhere")
    Platform(settings.model_copy(update={"home": tmp_path / "elsewhere"})).close()
