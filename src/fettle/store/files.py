"""Small files that are either whole or not there."""

import os
from pathlib import Path

from fettle.errors import StorageFailed


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, sync and rename it; makes its folder.

    Raises:
        StorageFailed: the disk is full or may not be written; the file is as it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageFailed(
            f"{path} cannot be written: {error.strerror or error}", hint="Free some space or give the right to write."
        ) from error
