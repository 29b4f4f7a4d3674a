"""Content-addressed folders: written under a temporary name, synced, renamed, and only then recorded."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fettle.errors import NotFound, StorageFailed
from fettle.store.files import bring, files_in, storage_told, sync
from fettle.store.remote_folders import RemoteFolders
from fettle.store.repository import Artifact, Records, Repository
from fettle.types.ids import new_id, now


@dataclass(frozen=True)
class Staged:
    """Files that are safely on disk, not yet in their place."""

    hash: str
    size_bytes: int
    folder: Path


class ArtifactStore:
    """Immutable folders by the hash of their content.

    At every moment: what is recorded is there and whole. What is there and not recorded, `sweep` removes. With a URL,
    the folders there are the ones that count, and those on this disk are copies that may go.
    """

    def __init__(self, root: Path, repository: Repository, url: str = "") -> None:
        """The artifacts under `root` of a home folder, and at `url` if one is given, recorded in `repository`.

        Raises:
            InvalidInput: nothing can be kept at such a URL.
        """
        self.root, self._repository = root, repository
        self._staging = root / "staging"
        self._remote = RemoteFolders(url, root.parent) if url else None

    def add(self, files: Mapping[str, Path]) -> Artifact:
        """Keep these files (relative name -> where it is now) as one folder.

        Raises:
            StorageFailed: the disk is full, or a file cannot be read; nothing is left behind.
        """
        with self.staged(files) as staged, self._repository.write() as records:
            return self.place(staged, records)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A path at which a file can be written on this disk, to be staged as a link; it is gone after the block.

        Raises:
            StorageFailed: the disk is full or may not be written, also when that shows inside the block.
        """
        with self._work_folder("draft") as folder, storage_told(f"files cannot be kept in {self.root}"):
            folder.mkdir(parents=True)
            yield folder / "draft"

    @contextmanager
    def staged(self, files: Mapping[str, Path], *, is_linked: bool = False) -> Iterator[Staged]:
        """Copy files to this disk (or link them, when they are ours and will not change) to `place` them later.

        They are sent to the URL too: what takes long comes before the transaction of `place`.

        Raises:
            StorageFailed: as for `add`.
        """
        with self._work_folder("stage") as folder:
            with storage_told(f"files cannot be kept in {self.root}"):
                sizes_and_digests = _stage(files, folder, is_linked)
            sizes = [size for size, _ in sizes_and_digests.values()]
            content_hash = _hash({name: digest for name, (_, digest) in sizes_and_digests.items()})
            self._send(content_hash, folder)
            yield Staged(content_hash, sum(sizes), folder)

    def place(self, staged: Staged, records: Records) -> Artifact:
        """Move staged files to their place and record them, inside the caller's write transaction."""
        target = self.place_of(staged.hash)
        with storage_told(f"files cannot be kept in {self.root}"):
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                staged.folder.rename(target)
                sync(target.parent)
        # Only a look, unless somebody removed meanwhile what nobody had recorded.
        self._send(staged.hash, target)
        known = records.find(Artifact, hash=staged.hash)
        if known:
            return known[0]
        return records.insert(Artifact(hash=staged.hash, size_bytes=staged.size_bytes, created_at=now()))

    def place_of(self, content_hash: str) -> Path:
        """Where the folder with this content is, once it was placed."""
        return self.root / content_hash[:2] / content_hash

    def path(self, content_hash: str) -> Path:
        """The folder with this content, fetched from the URL if it is not here; nobody may change what is in it.

        Raises:
            NotFound: there is none.
            StorageFailed: it cannot be fetched.
        """
        target = self.place_of(content_hash)
        is_recorded = bool(self._repository.find(Artifact, hash=content_hash))
        if not is_recorded or not (target.is_dir() or self._fetched(content_hash)):
            raise NotFound(f"there is no artifact {content_hash}", hint="It was deleted, or its files were removed.")
        return target

    def verify(self, content_hash: str) -> None:
        """Read all files and compare them with the hash.

        Raises:
            NotFound: there is no such artifact.
            StorageFailed: the files are not what was stored.
        """
        folder = self.path(content_hash)
        with storage_told(f"the artifact {folder} cannot be read"):
            found = hash_of(folder)
        if found != content_hash:
            raise StorageFailed(f"the files in {folder} were changed or damaged", hint="Restore them from a backup.")

    def delete(self, content_hash: str) -> None:
        """Forget an artifact, then remove its files."""
        with self._repository.write() as records:
            records.delete(Artifact, content_hash)
        self.sweep_one(content_hash)

    def sweep_one(self, content_hash: str) -> None:
        """Remove the files of an artifact that is not recorded (any more)."""
        with self._work_folder("trash") as trash, storage_told(f"the artifact {content_hash} cannot be removed"):
            self._staging.mkdir(parents=True, exist_ok=True)
            # In a write transaction: nobody can record the same content between the look and what follows.
            with self._repository.write() as records:
                if not records.find(Artifact, hash=content_hash):
                    self._take_away(content_hash, trash)

    def _take_away(self, content_hash: str, trash: Path) -> None:
        if self._remote:
            self._remote.remove(content_hash)
        if (target := self.place_of(content_hash)).exists():
            target.rename(trash)

    def sweep(self) -> None:
        """Remove what killed processes left: half-written files and folders that were never recorded."""
        for left in self._staging.glob("*-*"):
            if not _is_alive(int(left.name.partition("-")[0])):
                shutil.rmtree(left, ignore_errors=True)
        recorded = {artifact.hash for artifact in self._repository.find(Artifact)}
        for folder in self.root.glob("??/*"):
            if folder.name not in recorded:
                self.sweep_one(folder.name)

    def unsent(self) -> Set[str]:
        """The hashes of what is recorded and not at the URL, e.g. because it was kept before there was a URL.

        Raises:
            StorageFailed: the URL cannot be read.
        """
        if self._remote is None:
            return set()
        there, recorded = self._remote.listing(), {artifact.hash for artifact in self._repository.find(Artifact)}
        return {one for one in recorded if one not in there or (self._here(one) or there[one]) != there[one]}

    def unrecorded(self) -> Set[str]:
        """The hashes of what is at the URL and not recorded: what killed processes had sent.

        Raises:
            StorageFailed: the URL cannot be read.
        """
        recorded = {artifact.hash for artifact in self._repository.find(Artifact)}
        return self._remote.listing().keys() - recorded if self._remote else set()

    def send_all(self) -> None:
        """Send what is recorded and not at the URL; it has to be on this disk.

        Raises:
            NotFound: it is not.
            StorageFailed: it cannot be sent.
        """
        for content_hash in self.unsent():
            self._send(content_hash, self.path(content_hash))

    def fetch_all(self) -> None:
        """Have everything that is recorded on this disk.

        Raises:
            NotFound: something is nowhere.
            StorageFailed: it cannot be fetched.
        """
        for artifact in self._repository.find(Artifact):
            self.path(artifact.hash)

    def _here(self, content_hash: str) -> dict[str, int]:
        """The sizes of the files on this disk, by name; none if the folder is not here."""
        return {name: path.stat().st_size for name, path in files_in(self.place_of(content_hash)).items()}

    def _send(self, content_hash: str, folder: Path) -> None:
        if self._remote:
            self._remote.keep(content_hash, folder)

    def _fetched(self, content_hash: str) -> bool:
        """Whether the folder was at the URL; it is in its place then."""
        if self._remote is None:
            return False
        target = self.place_of(content_hash)
        with self._work_folder("fetch") as folder, storage_told(f"files cannot be kept in {self.root}"):
            if not self._remote.bring(content_hash, folder):
                return False
            if hash_of(folder) != content_hash:
                fault = f"the artifact {content_hash} at {self._remote.name} was changed or damaged"
                raise StorageFailed(fault, hint="Restore it from a backup.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                folder.rename(target)
            if not target.is_dir():  # else somebody has fetched it meanwhile
                raise OSError(f"{folder} cannot be moved to {target}")
        return True

    @contextmanager
    def _work_folder(self, kind: str) -> Iterator[Path]:
        """Where a folder can be made that bears this process' id; it is gone after the block."""
        folder = self._staging / f"{os.getpid()}-{new_id(kind)}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def hash_of(folder: Path) -> str:
    """What an artifact with the files in `folder` is called."""
    return _hash({name: _digest(path) for name, path in files_in(folder).items()})


def _stage(files: Mapping[str, Path], folder: Path, is_linked: bool) -> dict[str, tuple[int, bytes]]:
    folder.mkdir(parents=True)
    bring(files, folder, is_linked=is_linked)
    return {name: ((folder / name).stat().st_size, _digest(folder / name)) for name in files}


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _hash(digests: Mapping[str, bytes]) -> str:
    """SHA-256 over the sorted relative names, each with the SHA-256 of its content."""
    total = hashlib.sha256()
    for name, digest in sorted(digests.items()):
        total.update(len(name.encode()).to_bytes(4, "big") + name.encode() + digest)
    return total.hexdigest()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
