"""Base models for the user: list, get, and pull others from a folder or a hub."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fettle.errors import Conflict, InvalidInput, NotFound
from fettle.registry.base_models import BaseModels as Registry
from fettle.registry.base_models import read_entry
from fettle.registry.custom_models import CustomModels as CustomRegistry
from fettle.services.hub import download, wanted
from fettle.store.events import EventLog
from fettle.store.files import bring, storage_told, sync
from fettle.store.locks import FileLock
from fettle.types.resources import BaseModelEntry

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")


class BaseModels:
    """What can be tuned and served."""

    def __init__(self, registry: Registry, customs: CustomRegistry, events: EventLog, home: Path) -> None:
        """The models in `registry`; pulled ones are kept under `home`."""
        self._registry, self._customs, self._events = registry, customs, events
        self._folder = home / "models"

    def list(self) -> list[BaseModelEntry]:
        """All base models; the packaged ones first."""
        return self._registry.list()

    def get(self, name: str) -> BaseModelEntry:
        """The base model of this name.

        Raises:
            NotFound: there is none; with the nearest name.
        """
        return self._registry.get(name)

    def pull(self, source: str | Path, name: str | None = None) -> BaseModelEntry:
        """Bring a model from a folder or, by its name, from a hub; interrupted, it goes on when called again.

        Args:
            source: a folder with safetensors, config.json and tokenizer.json; or a hub name such as org/model.
            name: what it is called here; by default the last part of `source`.

        Raises:
            Conflict: the name is taken, or the model is being pulled at this moment.
            NotFound: there is no such folder or hub model.
            UnsupportedModel: Fettle cannot use its files.
            Unavailable: the hub cannot be reached.
            StorageFailed: the disk is full.
        """
        path = Path(source).expanduser()
        name = name or path.resolve().name
        self._check_name(name)
        with self._only_one(name) as partial:
            entry = (
                self._from_folder(path, name, partial) if _is_path(source, path) else _from_hub(source, name, partial)
            )
            added = self._keep(entry, partial)
        self._events.append(added.name, "pulled", source=str(source))
        return added

    def _check_name(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            hint = "Letters, digits, dots, dashes and underscores, and at most one slash. Give one with --name."
            raise InvalidInput(f"{name!r} cannot be the name of a model", hint=hint, param="name")
        self._registry.check_is_new(name)
        if any(model.name == name for model in self._customs.list()):
            raise Conflict(f"there is a custom model {name!r}", hint="Give another name with --name.", param="name")

    @contextmanager
    def _only_one(self, name: str) -> Iterator[Path]:
        """The folder in which the files are gathered; nobody else gathers there inside the block."""
        flat = name.replace("/", "--")
        lock = FileLock(self._folder / f".{flat}.lock")
        try:
            if not lock.try_acquire():
                raise Conflict(f"{name!r} is being pulled by another process", hint="Wait for it.", param="name")
            yield self._folder / f".{flat}.partial"
        finally:
            lock.close()

    def _from_folder(self, source: Path, name: str, partial: Path) -> BaseModelEntry:
        entry = read_entry(source, name=name, source="folder")
        shutil.rmtree(partial, ignore_errors=True)
        with storage_told(f"{source} cannot be copied to {partial}"):
            names = wanted([path.name for path in source.iterdir() if path.is_file()])
            try:
                partial.mkdir(parents=True)
                bring({one: source / one for one in names}, partial, is_linked=True)
            except OSError:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        return entry

    def _keep(self, entry: BaseModelEntry, partial: Path) -> BaseModelEntry:
        target = self._folder / entry.name.replace("/", "--")
        with storage_told(f"{target} cannot be written"):
            # It is not recorded, so what is there was left when a process was killed before it could record it.
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            sync(self._folder)
        return self._registry.add(entry.model_copy(update={"path": str(target)}))


def _from_hub(source: str | Path, name: str, partial: Path) -> BaseModelEntry:
    partial.mkdir(parents=True, exist_ok=True)
    licence = download(str(source), partial)
    return read_entry(partial, name=name, source="hub", licence=licence)


def _is_path(source: str | Path, path: Path) -> bool:
    """Whether a folder is meant; what is neither a folder nor looks like one is a hub name."""
    if path.is_dir():
        return True
    text = str(source)
    if isinstance(source, Path) or path.exists() or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise NotFound(f"there is no folder {source}", hint="Give a folder, or a hub name such as org/model.")
    return False
