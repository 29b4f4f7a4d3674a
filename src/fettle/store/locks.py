"""Locks between processes: held through an open file, so the kernel lets go when the holder is killed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from fettle.errors import StorageFailed


class FileLock:
    """A lock that only one process has at a time; children that inherit `fd` hold it too, until the last is gone."""

    def __init__(self, path: Path) -> None:
        """The lock on `path`; the file is made if needed and stays."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageFailed(f"the lock {path} cannot be opened: {error.strerror}") from error

    def acquire(self) -> Self:
        """Take it, waiting as long as another has it."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        return self

    def try_acquire(self) -> bool:
        """Take it if it is free."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let go, as far as this process is concerned."""
        os.close(self.fd)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Have the lock on `path` inside the block."""
    lock = FileLock(path).acquire()
    try:
        yield
    finally:
        lock.close()
