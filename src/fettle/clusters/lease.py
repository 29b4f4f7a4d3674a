"""Who runs a piece of work: one runner at a time, known to all, also after it was killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from fettle.clusters.processes import ProcessId, end_group, wait_until
from fettle.errors import Conflict
from fettle.store.files import write_whole
from fettle.store.locks import FileLock
from fettle.types.record import Record

# A look at the lock (`is_free`) takes it for a moment, so a taken lock may be free at once.
_PATIENCE_SECONDS = 2.0
_GRACE_SECONDS = 10.0


class Holder(Record):
    """The process that follows the work, and the worker that does it."""

    runner: ProcessId
    worker: ProcessId | None = None


class Lease:
    """The right to run what is in `folder`, while it is held.

    The worker inherits `fd`, so the right is taken until both are gone; and whoever comes next can end a worker whose
    runner was killed.
    """

    def __init__(self, folder: Path, lock: FileLock) -> None:
        """A lease that was taken; see `leased`."""
        self._folder, self.fd = folder, lock.fd
        self._tell(None)

    def lend(self, worker: ProcessId) -> None:
        """Say which process does the work."""
        self._tell(worker)

    def _tell(self, worker: ProcessId | None) -> None:
        holder = Holder(runner=ProcessId.of(os.getpid()), worker=worker)
        write_whole(self._folder / "holder.json", holder.model_dump_json().encode())


@contextmanager
def leased(folder: Path, what: str) -> Iterator[Lease]:
    """Have the only right to run what is in `folder`, inside the block.

    Raises:
        Conflict: another process runs it.
    """
    lock = FileLock(folder / "lock")
    try:
        _take(lock, folder, what)
        yield Lease(folder, lock)
    finally:
        lock.close()


@contextmanager
def if_free(folder: Path) -> Iterator[bool]:
    """Whether nobody runs what is in `folder`; that stays so inside the block."""
    lock = FileLock(folder / "lock")
    try:
        yield lock.try_acquire()
    finally:
        lock.close()


def end_worker(folder: Path) -> None:
    """End the worker that does what is in `folder`, with its children; whoever runs it is told by its end."""
    holder = _holder(folder)
    if holder and holder.worker:
        end_group(holder.worker, _GRACE_SECONDS)


def end_orphan(folder: Path) -> None:
    """End the worker that does what is in `folder` if its runner was killed: nobody follows it any more."""
    holder = _holder(folder)
    if holder and not holder.runner.is_alive:
        end_worker(folder)


def _take(lock: FileLock, folder: Path, what: str) -> None:
    if lock.try_acquire():
        return
    end_orphan(folder)
    if not wait_until(lock.try_acquire, _PATIENCE_SECONDS):
        holder = _holder(folder)
        pid = f" (process {holder.runner.pid})" if holder else ""
        raise Conflict(f"{what} is being run by another process{pid}", hint="Wait for it, or end that process first.")


def _holder(folder: Path) -> Holder | None:
    try:
        return Holder.model_validate_json((folder / "holder.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
