"""Anomalies on purpose: at its n-th write an operation finds the disk full, or its process is killed.

What is counted are the writes below a folder (files opened to be written, renamed, linked, removed; folders made) and
the commits of every database.
"""

import errno
import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from fettle.errors import FettleError

Anomaly = Literal["disk full", "killed"]
_WRITES_TO = {"os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.mkdir": 0, "os.link": 1, "os.truncate": 0}
"""Audit event of the interpreter -> which of its arguments is the path that is changed."""
_TO_WRITE = os.O_WRONLY | os.O_RDWR
_MOST_STEPS = 500


class Killed(BaseException):
    """What a killed process does not live to see: nothing catches it, and nothing can be written behind it."""


@dataclass
class Step:
    """A block in which the n-th write meets an anomaly; it ends as the operation would, had that really happened.

    In a process that was killed no write comes after: whatever `finally` would still tidy up is refused too.

    Attributes:
        number: of the write, from 1.
        anomaly: what it meets.
        has_struck: whether there were so many writes.
        writes: what was written, up to the anomaly.
    """

    folder: Path
    number: int
    anomaly: Anomaly
    writes: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        global _step  # an audit hook cannot be removed, so it looks here for what to do
        _watch()
        _step = self
        event.listen(Engine, "commit", self._on_commit)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Whether the end of the operation is the one that its anomaly explains."""
        global _step
        _step = None
        event.remove(Engine, "commit", self._on_commit)
        return self.has_struck and isinstance(error, Killed if self.anomaly == "killed" else FettleError)

    @property
    def has_struck(self) -> bool:
        """Whether there were so many writes."""
        return len(self.writes) >= self.number

    def meet(self, write: str) -> bool:
        """Count a write; whether it fails.

        Raises:
            Killed: the process is ended here.
        """
        self.writes.append(write)
        if self.has_struck and self.anomaly == "killed":
            raise Killed(write)
        return len(self.writes) == self.number

    def _on_commit(self, connection: Connection) -> None:
        if connection.get_execution_options().get("is_writer") and self.meet("commit"):
            raise OperationalError("COMMIT", None, sqlite3.OperationalError("database or disk is full"))


def every_step(folder: Path, anomaly: Anomaly) -> Iterator[Step]:
    """Blocks whose first, second, third ... write below `folder` meets the anomaly, up to one that is not met by any.

    The body of the loop does the operation in `with step:`, anew each time, and then looks at what is there.
    """
    for number in range(1, _MOST_STEPS):
        yield (step := Step(folder, number, anomaly))
        if not step.has_struck:
            return
    raise AssertionError(f"more than {_MOST_STEPS} writes: does the operation end?")


_step: Step | None = None
_is_watching = False


def _watch() -> None:
    global _is_watching
    if not _is_watching:
        sys.addaudithook(_on_audit)
        _is_watching = True


def _on_audit(name: str, arguments: tuple[Any, ...]) -> None:
    path = _written(name, arguments) if _step else None
    if _step and path and path.is_relative_to(_step.folder) and _step.meet(f"{name} {path}"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _written(name: str, arguments: tuple[Any, ...]) -> Path | None:
    """What an event of the interpreter is about to change, if it changes a file by its path."""
    if name == "open":
        path, _, flags = arguments
        return Path(os.fsdecode(path)) if isinstance(path, str | bytes | Path) and flags & _TO_WRITE else None
    if name not in _WRITES_TO or isinstance(path := arguments[_WRITES_TO[name]], int):
        return None
    # Folders are removed from the inside, file by file, by names relative to an open folder.
    is_inside = name in ("os.remove", "os.rmdir") and arguments[1] != -1
    return Path(f"/proc/self/fd/{arguments[1]}").readlink() / path if is_inside else Path(os.fsdecode(path))
