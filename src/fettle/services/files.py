"""Files that are uploaded, and those that jobs leave to be downloaded; their content is in the artifact store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fettle.store.artifacts import ArtifactStore
from fettle.store.repository import Artifact, Records, Repository
from fettle.types.access import DEFAULT_PROJECT
from fettle.types.ids import new_id, now
from fettle.types.resources import FilePurpose, StoredFile, TuningJob

#: What every file is called in its artifact: no name that somebody gave ever reaches the file system.
CONTENT = "content"


class Files:
    """The files of this installation."""

    def __init__(self, repository: Repository, artifacts: ArtifactStore) -> None:
        """The files in `repository`, with their content in `artifacts`."""
        self._repository, self._artifacts = repository, artifacts

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A path at which a file can be written, for `keep`; it is gone after the block.

        Raises:
            StorageFailed: the disk is full.
        """
        with self._artifacts.draft() as path:
            yield path

    def keep(self, draft: Path, filename: str, purpose: FilePurpose, *, job: TuningJob | None = None) -> StoredFile:
        """Keep what was written at `draft`; as the results of a job, if one is given, at the same moment.

        Raises:
            StorageFailed: the disk is full; nothing is recorded.
        """
        project = job.project_id if job else DEFAULT_PROJECT
        with self.kept(draft, filename, purpose, project) as (records, file):
            if job:
                records.update(records.get(TuningJob, job.id), results_file=file.id)
        return file

    @contextmanager
    def kept(
        self, draft: Path, filename: str, purpose: FilePurpose, project: str = DEFAULT_PROJECT
    ) -> Iterator[tuple[Records, StoredFile]]:
        """Keep what was written at `draft`, with whatever else the block records; all of it or nothing.

        Args:
            draft: see `draft`.
            filename: as it is told.
            purpose: what it is for.
            project: whose it is, for services that see all projects; those of one keep it for theirs.

        Raises:
            StorageFailed: the disk is full; nothing is recorded.
        """
        with self._artifacts.staged({CONTENT: draft}, is_linked=True) as staged, self._repository.write() as records:
            artifact = self._artifacts.place(staged, records)
            file = records.insert(
                StoredFile(
                    id=new_id("file"),
                    project_id=project,
                    filename=filename,
                    purpose=purpose,
                    artifact=artifact.hash,
                    size_bytes=artifact.size_bytes,
                    created_at=now(),
                )
            )
            records.tell(file.id, "created", filename=filename, purpose=purpose)
            yield records, file

    def page(
        self,
        *,
        after: str | None = None,
        limit: int,
        is_oldest_first: bool = False,
        purpose: FilePurpose | None = None,
    ) -> list[StoredFile]:
        """At most `limit` files, from the one behind the file with the id `after`.

        Raises:
            NotFound: there is no file `after`.
        """
        equal = {"purpose": purpose} if purpose else {}
        return self._repository.page(StoredFile, after=after, limit=limit, is_oldest_first=is_oldest_first, **equal)

    def get(self, file_id: str) -> StoredFile:
        """The file with this id.

        Raises:
            NotFound: there is none; with the nearest id.
        """
        return self._repository.get(StoredFile, file_id)

    def path(self, file: StoredFile) -> Path:
        """Where its content is; nobody may change it.

        Raises:
            NotFound: it was deleted.
        """
        return self._artifacts.path(file.artifact) / CONTENT

    def delete(self, file_id: str) -> StoredFile:
        """Delete a file; jobs that were made of it keep their own copy.

        Raises:
            NotFound: there is none; with the nearest id.
        """
        with self._repository.write() as records:
            file = records.get(StoredFile, file_id)
            records.delete(StoredFile, file_id)
            if is_last := not _has_users(records, file.artifact):
                records.delete(Artifact, file.artifact)
            records.tell(file_id, "deleted", filename=file.filename)
        if is_last:
            self._artifacts.sweep_one(file.artifact)
        return file


def _has_users(records: Records, artifact: str) -> bool:
    """Whether another file has the same content, whosever it is."""
    return bool(records.everywhere.find(StoredFile, artifact=artifact))
