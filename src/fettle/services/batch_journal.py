"""A batch's answers on the disk: written as they come, so that a killed server goes on where it was."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import msgspec

from fettle.store.files import storage_told, sync
from fettle.store.locks import FileLock

OUTPUT, ERRORS = "output.jsonl", "errors.jsonl"


@dataclass(frozen=True)
class Answer:
    """What is told of one request: a line of JSON with its `custom_id`."""

    custom_id: str
    line: bytes
    is_error: bool


class _Line(msgspec.Struct):
    custom_id: str


class Journal:
    """The answers that a batch has so far; whoever has it is the only one who works on the batch."""

    def __init__(self, folder: Path, lock: FileLock) -> None:
        """The answers in `folder`, on which `lock` was taken; a line that is not whole is cut off.

        Raises:
            StorageFailed: they cannot be read or written.
        """
        self._folder, self._taken, self._lock = folder, lock, Lock()
        self._ids: set[str] = set()
        self.num_failed = 0
        with storage_told(f"the answers in {folder} cannot be opened"), ExitStack() as held:
            self._output = held.enter_context(self._opened(OUTPUT))
            self._errors = held.enter_context(self._opened(ERRORS))
            sync(folder)
            held.pop_all()

    @property
    def num_answered(self) -> int:
        """Requests that have an answer, if only an error."""
        return len(self._ids)

    @property
    def num_completed(self) -> int:
        """Requests that have an answer which is no error."""
        return len(self._ids) - self.num_failed

    def has(self, custom_id: str) -> bool:
        """Whether this request has an answer."""
        return custom_id in self._ids

    def add(self, *answers: Answer) -> None:
        """Write answers down; they are safe on the disk when this returns. Who has one already gets no second.

        Raises:
            StorageFailed: the disk is full.
            ValueError: it is closed.
        """
        with self._lock, storage_told(f"answers cannot be written in {self._folder}"):
            written = [self._write(answer) for answer in answers if answer.custom_id not in self._ids]
            for file in set(written):
                file.flush()
                os.fsync(file.fileno())

    def path(self, name: str) -> Path | None:
        """The file OUTPUT or ERRORS, if there is something in it."""
        path = self._folder / name
        return path if path.stat().st_size else None

    def seal(self) -> None:
        """Let nothing more be written; returns when what is being written is."""
        with self._lock:
            self._output.close()
            self._errors.close()

    def close(self) -> None:
        """Seal it, and let others work on the batch."""
        try:
            self.seal()
        finally:
            self._taken.close()

    def _opened(self, name: str) -> BinaryIO:
        file = (self._folder / name).open("a+b")
        file.seek(0)
        end = 0
        for line in file:
            if line.endswith(b"\n"):
                end += len(line)
                self._count(msgspec.json.decode(line, type=_Line).custom_id, is_error=name == ERRORS)
        file.truncate(end)
        return file

    def _write(self, answer: Answer) -> BinaryIO:
        file = self._errors if answer.is_error else self._output
        file.write(answer.line + b"\n")
        self._count(answer.custom_id, is_error=answer.is_error)
        return file

    def _count(self, custom_id: str, *, is_error: bool) -> None:
        self._ids.add(custom_id)
        self.num_failed += is_error
