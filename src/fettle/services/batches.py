"""Batches: many requests in one file; checked as a whole first, and then each answered exactly once."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fettle.data.files import Row, scan_rows
from fettle.errors import Conflict
from fettle.services.batch_journal import ERRORS, OUTPUT, Answer, Journal
from fettle.services.files import Files
from fettle.store.files import bring, storage_told
from fettle.store.locks import FileLock
from fettle.store.repository import Repository
from fettle.types.ids import new_id, now
from fettle.types.resources import Batch, BatchFault, BatchState, StoredFile

WINDOW = timedelta(hours=24)
INPUT = "input.jsonl"
UNFINISHED: tuple[BatchState, ...] = ("validating", "in_progress", "finalizing", "cancelling")
#: How a batch ends that gives its answers away.
_ENDS: dict[BatchState, BatchState] = {"finalizing": "completed", "cancelling": "cancelled"}


@dataclass(frozen=True)
class Checked:
    """What a look at all requests of a batch has found."""

    num_requests: int
    faults: tuple[BatchFault, ...] = ()
    model: str | None = None


class Batches:
    """The batches of this installation; each has a folder of its own until it ends."""

    def __init__(self, repository: Repository, files: Files, root: Path) -> None:
        """The batches in `repository`, at work below `root`; their answers are kept in `files`."""
        self._repository, self._files, self._root = repository, files, root

    def create(self, endpoint: str, input_file: StoredFile, metadata: dict[str, str], key_id: str = "") -> Batch:
        """Record a batch with its own copy of the requests; tokens are counted for a key, if one is named.

        Raises:
            NotFound: the file was deleted.
            StorageFailed: the disk is full; nothing is recorded.
        """
        batch_id, moment, requests = new_id("batch"), now(), self._files.path(input_file)
        batch = Batch(
            id=batch_id,
            endpoint=endpoint,
            input_file=input_file.id,
            metadata=metadata,
            key_id=key_id,
            created_at=moment,
            expires_at=moment + WINDOW,
        )
        # In the transaction: `sweep` sees either no folder or the record too.
        with self._repository.write() as records, storage_told(f"a batch cannot be kept in {self._root}"):
            bring({INPUT: requests}, self._folder(batch_id), is_linked=True)
            records.insert(batch)
            records.tell(batch_id, "validating", endpoint=endpoint)
        return batch

    def get(self, batch_id: str) -> Batch:
        """The batch with this id.

        Raises:
            NotFound: there is none; with the nearest id.
        """
        return self._repository.get(Batch, batch_id)

    def page(self, *, after: str | None = None, limit: int) -> list[Batch]:
        """At most `limit` batches, the newest first, from the one behind the batch with the id `after`.

        Raises:
            NotFound: there is no batch `after`.
        """
        return self._repository.page(Batch, after=after, limit=limit)

    def unfinished(self) -> list[Batch]:
        """The batches that have not ended, the oldest first."""
        with self._repository.read() as records:
            found = [batch for state in UNFINISHED for batch in records.find(Batch, state=state)]
        return sorted(found, key=lambda batch: batch.created_at)

    def cancel(self, batch_id: str) -> Batch:
        """Let a batch end with the answers that it has.

        Raises:
            NotFound: there is none; with the nearest id.
            Conflict: it has ended, or is about to.
        """
        return self._move(batch_id, "cancelling")

    def take(self, batch_id: str) -> Journal | None:
        """The answers so far, with the sole right to add to them until they are closed; None if another has it.

        Raises:
            StorageFailed: they cannot be read or written.
        """
        folder = self._folder(batch_id)
        with ExitStack() as held:
            lock = FileLock(folder / "lock")
            held.callback(lock.close)
            # First the lock: whoever had it until then may have ended the batch.
            if not lock.try_acquire() or self.get(batch_id).state not in UNFINISHED:
                return None
            journal = Journal(folder, lock)
            held.pop_all()  # it is the journal's now
            return journal

    def check(self, batch_id: str, check: Callable[[Batch, Path], Checked]) -> Batch:
        """Look at all requests; what the batch is afterwards: in progress, or failed, or what others made it."""
        found = check(self.get(batch_id), self._folder(batch_id) / INPUT)
        with suppress(Conflict):  # it was cancelled meanwhile
            state: BatchState = "failed" if found.faults else "in_progress"
            told = {"faults": found.faults, "num_requests": found.num_requests, "model": found.model}
            if self._move(batch_id, state, **told).state == "failed":
                self._drop(batch_id)
        return self.get(batch_id)

    def unanswered(self, batch_id: str, journal: Journal) -> Iterator[Row]:
        """The requests that have no answer yet, as they stand in the file."""
        for row in scan_rows(self._folder(batch_id) / INPUT):
            if isinstance(row, Row) and not journal.has(row.value["custom_id"]):
                yield row

    def add(self, batch_id: str, journal: Journal, *answers: Answer) -> None:
        """Write answers down and count them.

        Raises:
            StorageFailed: the disk is full.
        """
        with self._repository.write() as records:
            journal.add(*answers)
            batch = records.get(Batch, batch_id)
            records.update(batch, num_completed=journal.num_completed, num_failed=journal.num_failed)

    def finish(self, batch_id: str, journal: Journal, *, is_late: bool = False) -> None:
        """End a batch whose time is over, that was cancelled, or all of whose requests have an answer.

        Every step can be repeated: a server that is killed in between goes on here.

        Raises:
            StorageFailed: the disk is full.
        """
        batch = self.get(batch_id)
        if batch.state == "in_progress" and not is_late and journal.num_answered == batch.num_requests:
            with suppress(Conflict):
                self._move(batch_id, "finalizing")
            batch = self.get(batch_id)
        end = "expired" if batch.state == "in_progress" and is_late else _ENDS.get(batch.state)
        if end:
            journal.seal()
            self._keep_answers(batch, journal)
            self._move(batch_id, end, num_completed=journal.num_completed, num_failed=journal.num_failed)
            self._drop(batch_id)

    def sweep(self) -> None:
        """Remove what killed servers left of batches that have ended."""
        for folder in self._root.glob("batch_*"):
            with self._repository.everywhere.write() as records:
                if not any(batch.state in UNFINISHED for batch in records.find(Batch, id=folder.name)):
                    self._drop(folder.name)

    def _keep_answers(self, batch: Batch, journal: Journal) -> None:
        for name, field in ((OUTPUT, "output_file"), (ERRORS, "error_file")):
            path = journal.path(name)
            if path and not getattr(batch, field):
                told = f"{batch.id}_{field.removesuffix('_file')}.jsonl"
                with self._files.kept(path, told, "batch_output", batch.project_id) as (records, file):
                    records.update(records.get(Batch, batch.id), **{field: file.id})

    def _move(self, batch_id: str, state: BatchState, **changes: object) -> Batch:
        with self._repository.write() as records:
            moved_at = {**records.get(Batch, batch_id).moved_at, state: now()}
            records.tell(batch_id, state)
            return records.move(Batch, batch_id, state, moved_at=moved_at, **changes)

    def _folder(self, batch_id: str) -> Path:
        return self._root / batch_id

    def _drop(self, batch_id: str) -> None:
        shutil.rmtree(self._folder(batch_id), ignore_errors=True)
