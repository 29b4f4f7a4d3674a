import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.errors import Conflict, InvalidInput, NotFound, StorageFailed
from fettle.store.artifacts import ArtifactStore, hash_of
from fettle.store.database import Database
from fettle.store.files import files_in
from fettle.store.remote_folders import RemoteFolders
from fettle.store.repository import Artifact, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """One kind of database is enough here."""
    database = Database.open(tmp_path / "fettle.db")
    yield Repository(database)
    database.close()


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}://{tmp_path}/bucket"


@pytest.fixture
def store(tmp_path: Path, repository: Repository, url: str) -> ArtifactStore:
    return ArtifactStore(tmp_path / "home" / "artifacts", repository, url)


def remote(store: ArtifactStore, url: str) -> RemoteFolders:
    return RemoteFolders(url, store.root.parent)


def test_what_is_not_on_the_disk_is_fetched(store: ArtifactStore, source: Path) -> None:
    kept = store.add(files_in(source))
    shutil.rmtree(store.root)
    assert hash_of(store.path(kept.hash)) == kept.hash
    store.verify(kept.hash)


def test_it_is_at_the_url_before_it_is_recorded(store: ArtifactStore, source: Path, url: str) -> None:
    with store.staged(files_in(source)) as staged:
        assert remote(store, url).listing() == {staged.hash: {"config.json": 2, "inner/weights": 25_600}}


def test_what_was_removed_before_it_was_recorded_is_sent_again(
    store: ArtifactStore, source: Path, url: str, repository: Repository
) -> None:
    with store.staged(files_in(source)) as staged:
        store.sweep_one(staged.hash)
        assert not remote(store, url).listing()
        with repository.write() as records:
            store.place(staged, records)
    assert store.unsent() == set()


def test_a_file_that_was_cut_off_is_sent_again(store: ArtifactStore, source: Path, url: str, tmp_path: Path) -> None:
    part, folder = tmp_path / "part", remote(store, url)
    shutil.copytree(source, part)
    (part / "config.json").write_text("{")
    content_hash = hash_of(source)
    folder.keep(content_hash, part)
    assert store.add(files_in(source)).hash == content_hash
    assert folder.listing()[content_hash]["config.json"] == 2


def test_deleting_removes_it_there_too(store: ArtifactStore, source: Path, url: str) -> None:
    kept = store.add(files_in(source))
    store.delete(kept.hash)
    assert not remote(store, url).listing()
    with pytest.raises(NotFound):
        store.path(kept.hash)


def test_what_is_neither_here_nor_there_is_not_found(store: ArtifactStore, source: Path, url: str) -> None:
    kept = store.add(files_in(source))
    remote(store, url).remove(kept.hash)
    shutil.rmtree(store.root)
    with pytest.raises(NotFound):
        store.path(kept.hash)


def test_what_was_changed_there_is_not_taken(store: ArtifactStore, source: Path, url: str, tmp_path: Path) -> None:
    kept, other = store.add(files_in(source)), tmp_path / "other"
    shutil.copytree(source, other)
    (other / "config.json").write_text("changed")
    remote(store, url).keep(kept.hash, other)
    shutil.rmtree(store.root)
    with pytest.raises(StorageFailed, match="was changed or damaged"):
        store.path(kept.hash)
    assert not files_in(store.root)


def test_what_was_kept_before_there_was_a_url_is_unsent(
    store: ArtifactStore, source: Path, repository: Repository
) -> None:
    kept = ArtifactStore(store.root, repository).add(files_in(source))
    assert store.unsent() == {kept.hash}
    store.send_all()
    assert store.unsent() == set()
    shutil.rmtree(store.root)
    store.fetch_all()
    assert hash_of(store.place_of(kept.hash)) == kept.hash


def test_what_a_killed_process_sent_belongs_to_nothing(store: ArtifactStore, source: Path, url: str) -> None:
    remote(store, url).keep(hash_of(source), source)
    assert store.unrecorded() == {hash_of(source)}
    store.sweep_one(hash_of(source))
    assert store.unrecorded() == set()


def test_a_url_belongs_to_one_home(store: ArtifactStore, source: Path, repository: Repository, url: str) -> None:
    kept = store.add(files_in(source))
    stranger = RemoteFolders(url, store.root.parent.with_name("other"))
    with pytest.raises(Conflict, match="belongs to another home folder"):
        stranger.remove(kept.hash)
    with pytest.raises(Conflict, match="belongs to another home folder"):
        stranger.keep(hash_of(source), source)
    assert store.unsent() == set()


def test_what_cannot_be_sent_is_not_recorded(tmp_path: Path, repository: Repository, source: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    store = ArtifactStore(tmp_path / "home" / "artifacts", repository, f"file://{tmp_path}/taken/inside")
    with pytest.raises(StorageFailed, match="artifacts cannot be kept at"):
        store.add(files_in(source))
    assert repository.find(Artifact) == []
    assert not files_in(store.root)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense://a:secret@b", r"nonsense://b: a URL that fsspec can open was expected"),
        ("gdrive://somewhere", "gdrive://somewhere: .*install"),
    ],
)
def test_a_url_that_cannot_be_used_is_told(tmp_path: Path, url: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as raised:
        RemoteFolders(url, tmp_path)
    assert "secret" not in str(raised.value)
