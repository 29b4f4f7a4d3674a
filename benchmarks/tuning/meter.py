"""A job for a contender, and what it measures of itself."""

import resource
import time
from dataclasses import dataclass, field
from typing import Any

from fettle.tuning.memory import peak_memory_bytes

#: Steps that prepare what later ones use are not timed.
WARMUP = 2
#: Of all contenders, in every step.
RATE = 1e-3


@dataclass(frozen=True)
class Job:
    """What a contender is told; all of it can be written as JSON."""

    contender: str
    method: str
    dtype: str
    settings: dict[str, Any]
    rows: list[dict[str, Any]]
    base: str
    adapter: str
    folder: str
    batch_size: int
    threads: int


@dataclass
class Meter:
    """Wall time, CPU time (of processes that ended too) and real tokens (padding does not count) of each step."""

    steps: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._then = _now()

    def start(self) -> None:
        """What was before does not belong to the first step."""
        self._then = _now()

    def stamp(self, tokens: int) -> None:
        """A step over so many tokens has ended."""
        now = _now()
        seconds, cpu = (after - before for after, before in zip(now, self._then, strict=True))
        self.steps.append({"seconds": seconds, "cpu_seconds": cpu, "tokens": tokens})
        self._then = now


def peak_mb() -> float:
    """The most memory that this process, or one that it waited for, has held, libraries included."""
    # Of itself not `ru_maxrss`: Linux lets a process begin with the peak of the one that started it.
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return max(peak_memory_bytes(), children) / 2**20


def _now() -> tuple[float, float]:
    return time.perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in _usages())


def _usages() -> list[resource.struct_rusage]:
    return [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
