"""What killed processes left and no start sweeps: found, told, and removed when somebody says so."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from fettle.clusters.lease import Holder
from fettle.clusters.processes import ProcessId
from fettle.store.artifacts import ArtifactStore
from fettle.store.files import storage_told
from fettle.store.locks import FileLock
from fettle.store.repository import Artifact, Records, Repository
from fettle.types.record import Record
from fettle.types.resources import BaseModelEntry, CustomModel, StoredFile, TuningJob

_UNNAMED = "artifact that nothing names"
#: How a file is called until it is whole, with the process that writes it.
_TEMPORARY = re.compile(r"\..+[.-](\d+)")


class Orphan(Record):
    """Something on the disk that belongs to nothing any more."""

    what: str
    path: Path


class Orphans:
    """The orphans of one home folder."""

    def __init__(self, home: Path, repository: Repository, artifacts: ArtifactStore) -> None:
        """Those in `home`, whose records are in `repository`, and of its artifacts."""
        self._home, self._repository, self._artifacts = home, repository.everywhere, artifacts

    def find(self) -> list[Orphan]:
        """Everything that belongs to nothing; nothing is changed.

        Raises:
            StorageFailed: the home folder cannot be read.
        """
        with self._repository.read() as records, storage_told(f"the home folder {self._home} cannot be read"):
            looks = [(what, look(self._home, records)) for what, look in _LOOKS.items()]
            return [Orphan(what=what, path=path) for what, paths in looks for path in paths]

    def remove(self) -> list[Orphan]:
        """Remove them; what was removed.

        Raises:
            StorageFailed: something may not be removed.
        """
        seen = self.find()
        # Another look: what came into its own while the first one went on is recorded by now.
        found = [orphan for orphan in self.find() if orphan in seen]
        for orphan in found:
            with storage_told(f"{orphan.path} cannot be removed"):
                self._forget(orphan) if orphan.what == _UNNAMED else _delete(orphan.path)
        return found

    def _forget(self, orphan: Orphan) -> None:
        content_hash = orphan.path.name
        with self._repository.write() as records:  # another look: somebody may have come to need it
            if content_hash not in needed_artifacts(records):
                records.delete(Artifact, content_hash)
        self._artifacts.sweep_one(content_hash)


def needed_artifacts(records: Records) -> set[str]:
    """The hashes of the artifacts that records of any project name."""
    every = records.everywhere
    of_models = {model.artifact for model in every.find(CustomModel) if model.state in ("creating", "active")}
    of_files = {file.artifact for file in every.find(StoredFile)}
    return of_models | of_files | {job.dataset_hash for job in every.find(TuningJob)}


def _unnamed(home: Path, records: Records) -> Iterator[Path]:
    needed = needed_artifacts(records)
    for artifact in records.find(Artifact):
        if artifact.hash not in needed:
            yield home / "artifacts" / artifact.hash[:2] / artifact.hash


def _temporary(home: Path, _: Records) -> Iterator[Path]:
    for pattern in (".*", "*/.*", "*/*/.*"):
        for path in home.glob(pattern):
            name = _TEMPORARY.fullmatch(path.name)
            if name and path.is_file() and not ProcessId.of(int(name[1])).is_alive:
                yield path


def _cards(home: Path, records: Records) -> Iterator[Path]:
    live = {model.id for model in records.find(CustomModel) if model.state in ("creating", "active")}
    yield from (path for path in home.glob("cards/*") if path.name not in live)


def _jobs(home: Path, records: Records) -> Iterator[Path]:
    known = {job.id for job in records.find(TuningJob)}
    yield from (path for path in home.glob("jobs/*") if path.name not in known)


def _base_models(home: Path, records: Records) -> Iterator[Path]:
    known = {Path(entry.path).name for entry in records.find(BaseModelEntry)}
    for path in (path for path in home.glob("models/*") if path.is_dir() and path.name not in known):
        name = path.name.removeprefix(".").removesuffix(".partial")
        if _is_free(path.with_name(f".{name}.lock")):  # else it is being pulled just now
            yield path


def _is_free(lock_path: Path) -> bool:
    lock = FileLock(lock_path)
    try:
        return lock.try_acquire()
    finally:
        lock.close()


def _leases(home: Path, _: Records) -> Iterator[Path]:
    for path in home.glob("*/*/holder.json"):
        try:
            holder = Holder.model_validate_json(path.read_bytes())
        except ValidationError:
            continue
        if not any(process and process.is_alive for process in (holder.runner, holder.worker)):
            yield path


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


_LOOKS: dict[str, Callable[[Path, Records], Iterator[Path]]] = {
    _UNNAMED: _unnamed,
    "temporary file of a process that has ended": _temporary,
    "card of a model that was deleted": _cards,
    "folder of a job that is not recorded": _jobs,
    "base model that was not pulled to its end": _base_models,
    "lease of a process that has ended": _leases,
}
