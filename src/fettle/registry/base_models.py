"""Base models: those that ship with Fettle (base_models.toml) and those that were pulled (in the store)."""

import json
import tomllib
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from fettle.adapters.classifiers import methods_of
from fettle.errors import Conflict, NotFound, UnsupportedModel, unknown
from fettle.registry.safetensors_header import check_whole, num_numbers
from fettle.store.repository import Repository
from fettle.types.decoder import DecoderConfig
from fettle.types.encoder import EncoderConfig, model_config
from fettle.types.foreign import FOREIGN
from fettle.types.resources import BaseModelEntry

HERE = Path(__file__).parent
UNKNOWN_LICENCE = "unknown"
_INDEX = "model.safetensors.index.json"


class BaseModels:
    """The catalogue: what can be tuned and served."""

    def __init__(self, repository: Repository) -> None:
        """The packaged models and those in `repository`."""
        self._repository = repository

    @cached_property
    def _packaged(self) -> Sequence[BaseModelEntry]:
        return packaged()

    def list(self) -> list[BaseModelEntry]:
        """All base models by name; the packaged ones first."""
        return [*self._packaged, *self._repository.find(BaseModelEntry)]

    def get(self, name: str) -> BaseModelEntry:
        """The base model of this name.

        Raises:
            NotFound: there is none; with the nearest name.
        """
        known = {entry.name: entry for entry in self.list()}
        if name not in known:
            raise not_installed(name) or unknown("base model", name, known, param="base")
        return known[name]

    def check_is_new(self, name: str) -> None:
        """Refuse a name that is taken.

        Raises:
            Conflict: there is a base model of this name.
        """
        if name in {entry.name for entry in self.list()}:
            raise Conflict(
                f"there is a base model {name!r} already", hint="Give another name with --name.", param="name"
            )

    def add(self, entry: BaseModelEntry) -> BaseModelEntry:
        """Record a pulled model, whose files are in their place.

        Raises:
            Conflict: the name is taken.
        """
        self.check_is_new(entry.name)
        return self._repository.insert(entry)


def packaged(listing: Path = HERE / "base_models.toml") -> list[BaseModelEntry]:
    """The models that ship with Fettle, as far as their files are in this installation."""
    listed = tomllib.loads(listing.read_text(encoding="utf-8"))
    folders = {name: _folder(listing.parent, facts) for name, facts in listed.items()}
    return [
        read_entry(folder, name=name, source="packaged", licence=listed[name]["licence"])
        for name, folder in folders.items()
        if folder and (folder / "config.json").exists()
    ]


def not_installed(name: str, listing: Path = HERE / "base_models.toml") -> NotFound | None:
    """The error for a model that Fettle knows and whose package is not installed; None for any other name."""
    facts = tomllib.loads(listing.read_text(encoding="utf-8")).get(name, {})
    if "extra" not in facts or _folder(listing.parent, facts):
        return None
    hint = f"Install it: pip install 'fettle-ai[{facts['extra']}]'"
    return NotFound(f"the base model {name!r} is not installed", hint=hint, param="base")


def _folder(here: Path, facts: dict[str, str]) -> Path | None:
    """Where a listed model's files are; None when their package is not installed. Nothing of it is run."""
    if "package" not in facts:
        return here / facts["folder"]
    found = find_spec(facts["package"])
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / facts["folder"] if places else None


def read_entry(
    folder: Path, *, name: str, source: Literal["packaged", "folder", "hub"], licence: str | None = None
) -> BaseModelEntry:
    """What the files of a model say about it; read without loading it.

    Raises:
        UnsupportedModel: a file is missing or damaged, or Fettle does not know the family.
    """
    config, weights = read_config(folder), weight_files(folder)
    if not (folder / "tokenizer.json").is_file():
        raise UnsupportedModel(
            f"{folder} has no tokenizer.json",
            hint="Save the tokenizer in the fast format: AutoTokenizer.from_pretrained(...).save_pretrained(...).",
        )
    return BaseModelEntry(
        name=name,
        path=str(folder),
        source=source,
        family=config.family,
        parameters=num_numbers(weights) if config.family in FOREIGN else config.num_parameters,
        context=config.max_positions,
        licence=licence or read_licence(folder),
        size_bytes=sum(path.stat().st_size for path in weights),
        methods=tuple(methods_of(config.family)),
    )


def read_config(folder: Path) -> DecoderConfig | EncoderConfig:
    """The architecture that a model folder's `config.json` describes.

    Raises:
        UnsupportedModel: there is none, it cannot be read, or the family is not supported.
    """
    return model_config(_json(folder / "config.json"))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, each checked to be whole.

    Raises:
        UnsupportedModel: there are none, a shard is missing, or a file is cut off.
    """
    paths = [folder / "model.safetensors"]
    if (folder / _INDEX).is_file():
        paths = [folder / name for name in _shards(folder / _INDEX)]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise UnsupportedModel(
            f"{folder} has no {', '.join(missing)}",
            hint="Fettle reads weights from safetensors only; pickled .bin and .pt files can run code and are refused.",
        )
    for path in paths:
        check_whole(path)
    return paths


def read_licence(folder: Path) -> str:
    """The licence that the model's README names, or 'unknown'."""
    readme = folder / "README.md"
    if not readme.is_file():
        return UNKNOWN_LICENCE
    head = readme.read_text(encoding="utf-8", errors="replace").split("\n---", 1)[0]
    lines = [line.partition(":")[2].strip() for line in head.splitlines() if line.startswith("license:")]
    return lines[0].strip("'\"") if lines and head.startswith("---") else UNKNOWN_LICENCE


def _shards(index: Path) -> list[str]:
    names = _json(index).get("weight_map")
    if not isinstance(names, dict) or not all(Path(str(name)).name == name for name in names.values()):
        raise UnsupportedModel(f"{index} has no valid weight_map", hint="Is the model folder complete?")
    return sorted(set(names.values()))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnsupportedModel(
            f"{path.parent} has no {path.name}", hint="Name the folder that holds the model's files."
        ) from None
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{path} cannot be read: {error}", hint="Is the model folder complete?") from error
    if not isinstance(found, dict):
        raise UnsupportedModel(f"{path} is not a JSON object", hint="Is the model folder complete?")
    return found
