"""The head of a safetensors file, read without its tensors: tells a whole file from a cut-off one."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fettle.errors import UnsupportedModel

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100 * 1024 * 1024


def check_whole(path: Path) -> None:
    """Make sure that a safetensors file is as long as its header says.

    Raises:
        UnsupportedModel: it is cut off, or not such a file.
    """
    size = path.stat().st_size
    header, begin = _header(path, size)
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    expected = begin + max(ends, default=0)
    if size != expected:
        raise UnsupportedModel(
            f"{path} has {size} bytes where its header says {expected}", hint="It is not complete; fetch it again."
        )


def num_numbers(paths: Iterable[Path]) -> int:
    """How many numbers the tensors of safetensors files hold."""
    headers = [_header(path, path.stat().st_size)[0] for path in paths]
    return sum(math.prod(t["shape"]) for header in headers for name, t in header.items() if name != "__metadata__")


def _header(path: Path, size: int) -> tuple[dict[str, Any], int]:
    """The header and where the tensors begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if not 0 < length <= min(size, _MAX_HEADER_BYTES):
            raise _not_safetensors(path)
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise _not_safetensors(path) from error
    if not isinstance(header, dict):
        raise _not_safetensors(path)
    return header, _LENGTH_BYTES + length


def _not_safetensors(path: Path) -> UnsupportedModel:
    hint = "It may be a placeholder of Git LFS (`git lfs pull` brings the file itself) or damaged."
    return UnsupportedModel(f"{path} is not a safetensors file", hint=hint)
