from pathlib import Path

import pytest

from fettle.errors import Conflict, FettleError, InvalidInput, NotFound, StorageFailed, UnsupportedModel
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.locks import FileLock
from fettle.testing.model_files import write_model_files
from tests.unit.services.conftest import Create


def test_a_folder_is_pulled_with_what_is_needed_and_stays_when_the_source_goes(
    platform: Platform, tmp_path: Path, settings: Settings
) -> None:
    source = write_model_files(tmp_path / "mine", num_shards=2, model_type="qwen3")
    (source / "pytorch_model.bin").write_bytes(b"pickled")
    entry = platform.base_models.pull(source)
    assert (entry.name, entry.source, entry.family) == ("mine", "folder", "qwen3")
    assert Path(entry.path) == settings.home / "models" / "mine"
    for path in source.iterdir():
        path.unlink()
    assert {path.name for path in Path(entry.path).iterdir()} == {
        "config.json",
        "tokenizer.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    assert platform.base_models.get("mine") == entry


def test_links_in_the_source_become_files(platform: Platform, tmp_path: Path) -> None:
    real, source = write_model_files(tmp_path / "blobs"), tmp_path / "snapshot"
    source.mkdir()
    for path in real.iterdir():
        (source / path.name).symlink_to(path)
    entry = platform.base_models.pull(source)
    assert not any(path.is_symlink() for path in Path(entry.path).iterdir())


@pytest.mark.parametrize("source", ["./absent", "/absent", "~/absent-model", "a/b/c"])
def test_a_folder_that_is_not_there_is_told(platform: Platform, source: str) -> None:
    with pytest.raises(NotFound, match="there is no folder"):
        platform.base_models.pull(source)


@pytest.mark.parametrize("name", ["", "a b", "a:1", "../up", "a/b/c", ".hidden", "x" * 100])
def test_a_name_that_cannot_be_used_is_refused(platform: Platform, tmp_path: Path, name: str) -> None:
    source = write_model_files(tmp_path / "-odd-")
    with pytest.raises(InvalidInput, match="cannot be the name"):
        platform.base_models.pull(source, name)


def test_a_name_that_is_taken_is_refused(platform: Platform, tmp_path: Path, create: Create) -> None:
    platform.tuning_jobs.run(create(name="tickets").id)
    source = write_model_files(tmp_path / "mine")
    for name in ("small", "tickets"):
        with pytest.raises(Conflict, match=name):
            platform.base_models.pull(source, name)


def test_what_cannot_be_loaded_is_refused_and_leaves_nothing(
    platform: Platform, tmp_path: Path, settings: Settings
) -> None:
    before = {path.name for path in (settings.home / "models").glob("[!.]*")}
    with pytest.raises(UnsupportedModel, match="whisper"):
        platform.base_models.pull(write_model_files(tmp_path / "ears", model_type="whisper"))
    assert {path.name for path in (settings.home / "models").glob("[!.]*")} == before
    assert [entry.name for entry in platform.base_models.list() if entry.source == "folder"] == ["small"]


def test_what_was_left_before_it_was_recorded_does_not_stop_the_next_pull(
    platform: Platform, tmp_path: Path, settings: Settings
) -> None:
    left = settings.home / "models" / "mine"
    left.mkdir()
    (left / "stale").write_text("from a killed process")
    entry = platform.base_models.pull(write_model_files(tmp_path / "mine"))
    assert not (Path(entry.path) / "stale").exists()


def test_two_pulls_of_one_name_do_not_meet(platform: Platform, tmp_path: Path, settings: Settings) -> None:
    other = FileLock(settings.home / "models" / ".mine.lock").acquire()
    with pytest.raises(Conflict, match="being pulled"):
        platform.base_models.pull(write_model_files(tmp_path / "mine"))
    other.close()
    assert platform.base_models.pull(tmp_path / "mine").name == "mine"


def test_a_folder_that_cannot_be_written_is_told(platform: Platform, tmp_path: Path, settings: Settings) -> None:
    (settings.home / "models" / ".mine.partial").write_text("in the way")
    with pytest.raises(StorageFailed, match="cannot be copied"):
        platform.base_models.pull(write_model_files(tmp_path / "mine"))
    with pytest.raises(FettleError):
        platform.base_models.get("mine")
