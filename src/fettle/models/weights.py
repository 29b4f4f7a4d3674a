"""Safetensors folders: read (sharded too), write, and what is said when they do not fit."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fettle.errors import UnsupportedModel

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model folder.

    Raises:
        UnsupportedModel: the file is absent or is no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnsupportedModel(f"{path} does not exist", hint="Is the model folder complete?") from None
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise UnsupportedModel(f"{path} should hold a JSON object")
    return value


def weight_files(folder: Path) -> list[Path]:
    """The folder's safetensors files, by its index if it has one."""
    if (folder / INDEX).exists():
        return [folder / name for name in sorted(set(read_json(folder / INDEX)["weight_map"].values()))]
    return [folder / SINGLE]


def tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a model folder, one at a time.

    Raises:
        UnsupportedModel: a file is absent or damaged.
    """
    for file in _opened(folder):
        for name in file.keys():  # noqa: SIM118 - not a dict
            yield name, file.get_tensor(name)


def count_weights(folder: Path) -> int:
    """How many numbers the weights of a model folder are, read without them.

    Raises:
        UnsupportedModel: a file is absent or damaged.
    """
    return sum(math.prod(file.get_slice(name).get_shape()) for file in _opened(folder) for name in file.keys())  # noqa: SIM118


def _opened(folder: Path) -> Iterator[Any]:
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                yield file
        except FileNotFoundError:
            raise UnsupportedModel(f"{path} does not exist", hint="Only safetensors weights are read.") from None
        except SafetensorError as error:
            raise UnsupportedModel(f"{path} is damaged: {error}", hint="Download or copy it again.") from error


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a safetensors file that `transformers` reads too."""
    save_file({name: tensor.detach().contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})


def refuse_misfits(folder: Path, faults: Iterable[str]) -> None:
    """Raise if there are faults.

    Raises:
        UnsupportedModel: there are; the first ten are named.
    """
    listed = list(faults)
    if listed:
        shown = "\n".join(f"  {fault}" for fault in listed[:10])
        more = f"\n  ... and {len(listed) - 10} more" if len(listed) > 10 else ""
        raise UnsupportedModel(f"the weights in {folder} do not fit its config.json:\n{shown}{more}")
