"""Files that are either whole or not there: written, copied or linked, and synced."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fettle.errors import StorageFailed


@contextmanager
def storage_told(what: str) -> Iterator[None]:
    """Turn errors of the file system inside the block into StorageFailed, saying `what` could not be done."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"{what}: {error.strerror or error}", hint="Free some space or give the right to write, and try again."
        ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, sync and rename it; makes its folder.

    Raises:
        StorageFailed: the disk is full or may not be written; the file is as it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with storage_told(f"{path} cannot be written"):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def files_in(folder: Path) -> dict[str, Path]:
    """Every file below a folder, by its relative name."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def bring(files: Mapping[str, Path], folder: Path, *, is_linked: bool) -> None:
    """Copy files (relative name -> where it is now) below `folder` and sync them.

    With `is_linked` they share their content with the source where the file system can do that.
    """
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (is_linked and _linked(source, target)):
            shutil.copyfile(source, target)
            target.chmod(0o444)
        sync(target)
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        sync(path)


def sync(path: Path) -> None:
    """Have a file or folder on the disk before this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links: a copy does as well
        return False
    return True
