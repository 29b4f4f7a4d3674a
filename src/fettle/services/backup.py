"""Backups: all of an installation at one moment in one file, from which a home folder is made again."""

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fettle.errors import Conflict, InvalidInput, StorageFailed
from fettle.settings import Settings
from fettle.store.artifacts import ArtifactStore, hash_of
from fettle.store.database import Database
from fettle.store.dump import dump, load
from fettle.store.files import bring, files_in, storage_told, sync
from fettle.store.migrate import revision, run, upgrade
from fettle.store.ownership import ID_FILE
from fettle.store.repository import Repository
from fettle.types.ids import new_id, now
from fettle.types.record import Record

_ABOUT, _ROWS, _HOME = "about.json", "rows", "home"
#: Folders that are made anew, or belong to processes that run now.
_LEFT_OUT = frozenset({"cache", "cards", "engines", "logs", "servers"})
#: Folders whose files never change once they have their name: in these a link is as good as a copy.
_UNCHANGING = frozenset({"artifacts", "jobs", "models", "uploads"})
_OF_PROCESSES = frozenset({"lock", "holder.json", "staging", ID_FILE})


class About(Record):
    """What a backup says of itself."""

    format: int = 1
    revision: str
    home: str
    created_at: datetime


def back_up(settings: Settings, file: Path) -> About:
    """Write everything of an installation to `file`, while it runs; what changes meanwhile is not in it.

    Raises:
        Conflict: there is such a file already.
        StorageFailed: the disk is full, or may not be read or written; there is no file then.
    """
    if file.exists():
        raise Conflict(f"{file} is there already", hint="Give another name, or move it away.", param="file")
    with _artifacts(settings) as (database, store):
        store.fetch_all()  # what comes while this goes on is on this disk
        # Below the artifacts: on the disk that the links need, and swept if this process is killed.
        with store.draft() as folder, storage_told(f"the backup {file} cannot be written"):
            about = _copy(settings.home, database, folder)
            _pack(folder, file)
    return about


def restore(settings: Settings, file: Path) -> About:
    """Make the home folder, and the rows in its database, of a backup.

    Paths in the rows become those of this home; the database may be of another kind than the one that was backed up.

    Raises:
        Conflict: the home folder or the database is not empty.
        InvalidInput: the file is no backup.
        StorageFailed: the backup is damaged, or the disk is full; nothing is left behind. Or the artifacts cannot be
            sent to their URL: then the home is whole, and `fettle doctor --mend` sends them.
    """
    home = settings.home
    if home.exists() and any(home.iterdir()):
        raise Conflict(f"the home folder {home} is not empty", hint="Give another with FETTLE_HOME.", param="home")
    with _unpacked(file, home) as folder:
        about = _about(folder, file)
        (folder / _HOME).mkdir(exist_ok=True)
        _check_artifacts(folder / _HOME / "artifacts")
        _fill(settings.database_url or folder / _HOME / "fettle.db", folder / _ROWS, about, home)
        with storage_told(f"the home folder {home} cannot be written"):
            for part in (folder / _HOME).iterdir():
                part.rename(home / part.name)
            sync(home)
    with _artifacts(settings) as (_, store):
        store.send_all()
    return about


@contextmanager
def _artifacts(settings: Settings) -> Iterator[tuple[Database, ArtifactStore]]:
    database = Database.open(settings.database)
    try:
        yield database, ArtifactStore(settings.home / "artifacts", Repository(database), settings.artifacts_url)
    finally:
        database.close()


def _copy(home: Path, database: Database, folder: Path) -> About:
    # In a write transaction: no row and no artifact can come or go between one and the other.
    with database.write() as connection:
        about = About(revision=revision(connection) or "", home=str(home), created_at=now())
        dump(connection, folder / _ROWS)
        (folder / _HOME).mkdir()
        files = {name: path for name, path in files_in(home).items() if all(map(_is_kept, Path(name).parts))}
        for is_linked in (True, False):
            some = {name: path for name, path in files.items() if (Path(name).parts[0] in _UNCHANGING) == is_linked}
            bring(some, folder / _HOME, is_linked=is_linked)
    (folder / _ABOUT).write_text(about.model_dump_json(indent=1), encoding="utf-8")
    return about


def _is_kept(name: str) -> bool:
    """Whether what is called so is of the installation, and not of the database or of processes."""
    is_hidden = name.startswith((".", "fettle.db")) or name.endswith((".lock", ".log", ".partial"))
    return not is_hidden and name not in _LEFT_OUT | _OF_PROCESSES


def _pack(folder: Path, file: Path) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        partial.touch(mode=0o600, exist_ok=False)  # everybody's data are in it
        with partial.open("wb") as target:
            with tarfile.open(fileobj=target, mode="w") as archive:
                archive.add(folder, arcname=".")
            target.flush()
            os.fsync(target.fileno())
        partial.rename(file)
        sync(file.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _unpacked(file: Path, home: Path) -> Iterator[Path]:
    """A folder with what is in the file, on the home's disk, which may be one of its own; it is gone after the block.

    A home folder that was made for it goes too, if nothing has come into it.
    """
    is_new, folder = not home.exists(), home / f".{new_id('restored')}"
    try:
        with storage_told(f"{file} cannot be unpacked to {folder}"):
            folder.mkdir(parents=True)
            try:
                with tarfile.open(file) as archive:
                    archive.extractall(folder, filter="data")
            except (tarfile.TarError, EOFError) as error:
                raise InvalidInput(f"{file} is no whole backup: {error}", hint="`fettle backup` makes one.") from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new:
            with suppress(OSError):
                home.rmdir()


def _about(folder: Path, file: Path) -> About:
    try:
        return About.model_validate_json((folder / _ABOUT).read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise InvalidInput(f"{file} is no backup of Fettle", hint="`fettle backup FILE` makes one.") from error


def _check_artifacts(root: Path) -> None:
    """Every folder has the content that its name says."""
    for folder in root.glob("??/*"):
        if hash_of(folder) != folder.name:
            raise StorageFailed(f"the backup is damaged: the artifact {folder.name} is not what was stored")


def _fill(place: Path | str, rows: Path, about: About, home: Path) -> None:
    database = Database(place)
    try:
        with database.prepared() as connection:
            if revision(connection) != about.revision:
                run(connection, about.revision)
            load(connection, rows, _moved(about.home, str(home)))
            upgrade(connection)
    finally:
        database.close()


def _moved(old: str, new: str) -> Callable[[Any], Any]:
    """What makes of paths in the one home those in the other, wherever they stand in a JSON value."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: moved(one) for name, one in value.items()}
        if isinstance(value, list):
            return [moved(one) for one in value]
        is_inside = isinstance(value, str) and value.startswith(f"{old}/")
        return new + value.removeprefix(old) if is_inside else value

    return moved
