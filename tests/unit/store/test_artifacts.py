import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from fettle.errors import NotFound, StorageFailed
from fettle.store.artifacts import ArtifactStore
from fettle.store.files import files_in
from fettle.store.repository import Artifact, Repository

LIMITED = """
import resource, sys
from pathlib import Path
from fettle.errors import StorageFailed
from fettle.settings import load_settings
from fettle.store.artifacts import ArtifactStore
from fettle.store.database import Database
from fettle.store.repository import Repository

home, source = Path(sys.argv[1]), Path(sys.argv[2])
store = ArtifactStore(home / "artifacts", Repository(Database.open(load_settings(home=home).database)))
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    store.add({"small": source / "small", "weights": source / "weights"})
except StorageFailed as error:
    print(error.message)
"""


@pytest.fixture
def store(tmp_path: Path, repository: Repository) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", repository)


def test_a_folder_comes_back_whole(store: ArtifactStore, source: Path) -> None:
    kept = store.add(files_in(source))
    found = files_in(store.path(kept.hash))
    assert {name: path.read_bytes() for name, path in found.items()} == {
        name: path.read_bytes() for name, path in files_in(source).items()
    }
    assert kept.size_bytes == 2 + 25_600
    store.verify(kept.hash)


def test_the_hash_is_over_names_and_contents(store: ArtifactStore, source: Path) -> None:
    total = hashlib.sha256()
    for name in ("config.json", "inner/weights"):
        content = hashlib.sha256((source / name).read_bytes()).digest()
        total.update(len(name).to_bytes(4, "big") + name.encode() + content)
    assert store.add(files_in(source)).hash == total.hexdigest()


def test_the_same_content_is_kept_once_and_other_names_are_other_content(store: ArtifactStore, source: Path) -> None:
    first, again = store.add(files_in(source)), store.add(files_in(source))
    renamed = store.add({"other": source / "config.json", "inner/weights": source / "inner" / "weights"})
    assert first == again
    assert renamed.hash != first.hash


def test_changing_the_source_does_not_change_what_was_kept(store: ArtifactStore, source: Path) -> None:
    kept = store.add(files_in(source))
    (source / "config.json").write_text("changed")
    store.verify(kept.hash)


def test_a_linked_file_takes_no_space(store: ArtifactStore, source: Path, repository: Repository) -> None:
    with store.staged(files_in(source), is_linked=True) as staged, repository.write() as records:
        kept = store.place(staged, records)
    assert (store.path(kept.hash) / "config.json").samefile(source / "config.json")


def test_damage_is_found(store: ArtifactStore, source: Path) -> None:
    kept = store.add(files_in(source))
    victim = store.path(kept.hash) / "config.json"
    victim.chmod(0o644)
    victim.write_text("[]")
    with pytest.raises(StorageFailed, match="changed or damaged"):
        store.verify(kept.hash)


def test_what_is_deleted_is_gone_and_can_come_again(store: ArtifactStore, source: Path) -> None:
    kept = store.add(files_in(source))
    store.delete(kept.hash)
    with pytest.raises(NotFound):
        store.path(kept.hash)
    assert files_in(store.root) == {}
    assert store.add(files_in(source)).hash == kept.hash


def test_a_source_that_cannot_be_read_leaves_nothing(store: ArtifactStore, source: Path) -> None:
    with pytest.raises(StorageFailed, match="No such file"):
        store.add({"config.json": source / "config.json", "missing": source / "missing"})
    assert files_in(store.root) == {}


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, store: ArtifactStore) -> None:
    source = tmp_path / "big"
    source.mkdir()
    (source / "small").write_text("fits")
    (source / "weights").write_bytes(b"\1" * 1_000_000)
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be kept" in done.stdout, done.stderr
    assert files_in(store.root) == {}
    assert store.add(files_in(source)).size_bytes == 1_000_004


def test_when_it_cannot_be_recorded_it_does_not_count_and_is_swept(
    store: ArtifactStore, source: Path, repository: Repository
) -> None:
    def killed_while_recording() -> None:
        with store.staged(files_in(source)) as staged, repository.write() as records:
            placed.append(store.place(staged, records).hash)
            raise KeyboardInterrupt

    placed: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        killed_while_recording()
    with pytest.raises(NotFound):
        store.path(placed[0])
    store.sweep()
    assert files_in(store.root) == {}


def test_sweeping_keeps_what_is_recorded_and_what_is_being_written(store: ArtifactStore, source: Path) -> None:
    kept = store.add(files_in(source))
    with store.staged(files_in(source)) as staged:
        dead = staged.folder.with_name("999999999-stage_dead")
        dead.mkdir()
        store.sweep()
        assert staged.folder.exists()
        assert not dead.exists()
    store.verify(kept.hash)


def test_a_record_that_others_still_need_keeps_its_files(
    store: ArtifactStore, source: Path, repository: Repository
) -> None:
    kept = store.add(files_in(source))
    store.sweep_one(kept.hash)
    assert repository.get(Artifact, kept.hash) == kept
    assert files_in(store.path(kept.hash))
