"""All that a run needs to go on as if it had never stopped, in one file that is whole or absent."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fettle.errors import StorageFailed

State = dict[str, Any]


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, make it durable, then give it its name.

    Raises:
        StorageFailed: the disk is full or the folder cannot be written; what was at `path` is untouched.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise StorageFailed(
            f"{path} could not be written: {error}", hint="Free some space, then resume the job: nothing is lost."
        ) from error


class Checkpoints:
    """The checkpoint of one run in its work folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "checkpoint.pt"

    def save(self, state: State) -> None:
        """Replace the checkpoint.

        Raises:
            StorageFailed: it could not be written; the one before is still there.
        """
        write_whole(self.path, lambda path: torch.save(state, path))

    def load(self) -> State | None:
        """The last checkpoint, or None; tensors and plain values only, never code."""
        if not self.path.exists():
            return None
        state: State = torch.load(self.path, weights_only=True)
        return state
