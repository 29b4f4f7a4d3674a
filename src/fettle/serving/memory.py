"""How much memory an engine is going to take, known before it is loaded."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from fettle.errors import Unavailable
from fettle.models.int4 import GROUP
from fettle.serving.cache import PagedCache
from fettle.serving.settings import EngineSettings
from fettle.types.decoder import DecoderConfig
from fettle.types.engine import Weights

_MEBIBYTE = 2**20


@dataclass(frozen=True)
class MemoryPlan:
    """What takes memory, in bytes.

    Attributes:
        loading: the weights as they are read, before they are laid out.
        weights: as they are kept.
        cache: keys and values.
        adapters: as many as may be resident.
        step: what one step computes with.
    """

    loading: int
    weights: int
    cache: int
    adapters: int
    step: int

    @property
    def total(self) -> int:
        """The most that is taken at one time."""
        return max(self.loading, self.weights + self.cache + self.adapters + self.step)

    def check(self, available: int) -> None:
        """Raise if this is more than is available.

        Raises:
            Unavailable: it is; the message has the numbers, and the hint says what to lower.
        """
        if self.total <= available:
            return
        parts = {name: getattr(self, name) for name in ("weights", "cache", "adapters", "step")}
        listed = ", ".join(f"{name} {_mebibytes(size)}" for name, size in parts.items())
        raise Unavailable(
            f"this model needs {_mebibytes(self.total)} of memory ({listed}; {_mebibytes(self.loading)} while it is "
            f"loaded), and {_mebibytes(available)} are available",
            hint=self._hint(available),
        )

    def _hint(self, available: int) -> str:
        if self.loading > available or self.weights + self.step > available:
            return "The weights alone are too many: serve a smaller model, or on a machine with more memory."
        left = available - self.weights - self.step
        return (
            f"Lower FETTLE_SERVING_CACHE_BYTES and FETTLE_SERVING_ADAPTER_BYTES to {left} together "
            f"(now {self.cache + self.adapters}), or end what else takes memory."
        )


def planned(config: DecoderConfig, settings: EngineSettings, dtype: torch.dtype, num_blocks: int) -> MemoryPlan:
    """What an engine of this model takes with these settings."""
    width = config.vocab_size + 8 * config.hidden_size + 4 * config.intermediate_size
    return MemoryPlan(
        loading=config.num_parameters * dtype.itemsize,
        weights=_weight_bytes(config, settings.weights, dtype.itemsize),
        cache=num_blocks * PagedCache.block_bytes(config, settings.block_size, dtype),
        adapters=settings.adapter_bytes,
        step=settings.max_batch_tokens * width * torch.float32.itemsize,
    )


def _weight_bytes(config: DecoderConfig, weights: Weights, itemsize: int) -> int:
    # A head that shares its weights with the embeddings is laid out for products as well.
    embeddings = head = config.vocab_size * config.hidden_size
    layers = config.num_parameters - embeddings - head * (not config.tied_head)
    if weights == "int8":
        return embeddings * itemsize + head + layers
    of_layers = layers // 2 + 2 * itemsize * (layers // GROUP) if weights == "int4" else layers * itemsize
    return (embeddings + head) * itemsize + of_layers


def available_bytes(meminfo: Path = Path("/proc/meminfo"), control_group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Memory that this process may still take, without others losing theirs; None where the system does not tell.

    Args:
        meminfo: what the system says of the machine.
        control_group: where a container's limit and use are.
    """
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", _told(meminfo), re.MULTILINE)
    machine = int(found[1]) * 1024 if found else None
    limit, used = _told(control_group / "memory.max"), _told(control_group / "memory.current")
    if not (limit.isdecimal() and used.isdecimal()):
        return machine
    # What files are kept of in memory counts as used, and is given up for who needs it.
    files = re.search(r"^inactive_file (\d+)$", _told(control_group / "memory.stat"), re.MULTILINE)
    container = int(limit) - int(used) + (int(files[1]) if files else 0)
    return container if machine is None else min(machine, container)


def _told(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _mebibytes(size_bytes: int) -> str:
    return f"{-(-size_bytes // _MEBIBYTE):,} MiB"
