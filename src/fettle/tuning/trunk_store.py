"""Files that keep what frozen lower layers make of rows: shared by jobs, bounded, safe to kill at any moment."""

import fcntl
import hashlib
import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from fettle.data.packing import Ints

#: A row's key, where its states begin and how many there are, both in tokens.
_ENTRY = struct.Struct("<16sqq")
_STATES, _ENTRIES, _LOCK, _IN_USE = "states.bin", "entries.bin", "lock", "in_use"


class Cut(NamedTuple):
    """Where a model is cut: which weights, of which type, in which arithmetic, in front of which layer."""

    base: Path
    weights: torch.dtype
    arithmetic: torch.dtype
    layer: int
    width: int
    quantization: str = "none"

    @property
    def name(self) -> str:
        """A name that changes with everything that the states depend on."""
        files = [*sorted(self.base.glob("*.safetensors")), self.base / "config.json"]
        facts = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        said = repr((facts, str(self.weights), str(self.arithmetic), self.layer, self.quantization))
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    @property
    def stored(self) -> type[np.generic]:
        """The number type of the file: numpy has no bf16, so its bits are kept."""
        return np.uint16 if self.weights == torch.bfloat16 else np.float32

    @property
    def bytes_per_token(self) -> int:
        """Of one token's state."""
        return self.width * np.dtype(self.stored).itemsize


class TrunkStore:
    """The states of rows in front of one layer: a file of states, and one of keys and places that only grows.

    States are on the disk before their entries are written, so a process that is killed leaves at worst states that
    nobody refers to.
    """

    def __init__(self, folder: Path, cut: Cut) -> None:
        """The store of a cut, in a folder that many share; it is not evicted as long as this object lives."""
        self.cut, self._folder = cut, folder / cut.name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._in_use = (self._folder / _IN_USE).open("a")
        fcntl.flock(self._in_use, fcntl.LOCK_SH)
        os.utime(self._folder / _IN_USE)

    def close(self) -> None:
        """Let it be evicted."""
        self._in_use.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside, nobody else writes."""
        with (self._folder / _LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def entries(self) -> dict[bytes, int]:
        """Where each row's states begin, in tokens, by its key; a torn last entry does not count."""
        path = self._folder / _ENTRIES
        content = path.read_bytes() if path.exists() else b""
        whole = content[: len(content) // _ENTRY.size * _ENTRY.size]
        return {key: start for key, start, _ in _ENTRY.iter_unpack(whole)}

    def append(self, keys: Sequence[bytes], lengths: Ints, states: npt.NDArray[Any]) -> None:
        """Keep the states of some rows, (sum of lengths, width); only inside `locked`."""
        start = self._append_states(states)
        starts = (start + np.cumsum(lengths) - lengths).tolist()
        added = b"".join(_ENTRY.pack(*entry) for entry in zip(keys, starts, lengths.tolist(), strict=True))
        with (self._folder / _ENTRIES).open("ab") as file:
            file.truncate(file.tell() // _ENTRY.size * _ENTRY.size)
            file.write(added)

    def states(self) -> npt.NDArray[Any]:
        """All states, (tokens, width), mapped into memory; those of a torn write are cut off."""
        flat = np.memmap(self._folder / _STATES, self.cut.stored, mode="r")
        return flat[: len(flat) // self.cut.width * self.cut.width].reshape(-1, self.cut.width)

    def _append_states(self, states: npt.NDArray[Any]) -> int:
        with (self._folder / _STATES).open("ab") as file:
            start = file.tell() // self.cut.bytes_per_token
            file.truncate(start * self.cut.bytes_per_token)
            file.write(states.astype(self.cut.stored, copy=False).tobytes())
            file.flush()
            os.fsync(file.fileno())
        return start


def make_room(folder: Path, num_bytes: int, limit: int) -> bool:
    """Whether `num_bytes` more fit under `limit`; the stores that were used longest ago and that nobody uses go."""
    stores = sorted((path for path in folder.iterdir() if path.is_dir()), key=_last_use)
    for store in stores:
        if _size(folder) + num_bytes <= limit:
            return True
        _evict(store)
    return _size(folder) + num_bytes <= limit


def _last_use(store: Path) -> float:
    with suppress(FileNotFoundError):
        return (store / _IN_USE).stat().st_mtime
    return 0.0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.bin"))


def _evict(store: Path) -> None:
    with suppress(OSError), (store / _IN_USE).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(store, ignore_errors=True)
