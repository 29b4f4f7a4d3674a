"""The cases: what is trained, who trains it, and what is asked of the first of them beside the others."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import workload

LORA = {"rank": 32}
TOP_QUARTER = LORA | {"top_fraction": 0.25}


@dataclass(frozen=True)
class Target:
    """A bound of what is measured of the case's first contender, divided by the same of another one.

    Attributes:
        text: as the table says it.
        measure: a field of a summary.
        beside: the other contender; None bounds the value itself.
        at_least: the lower bound, or None.
        at_most: the upper bound, or None.
    """

    text: str
    measure: str
    beside: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the value is within the bounds."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)


def faster(beside: str, factor: float) -> Target:
    """So many times the other's tokens per second."""
    return Target(f">= {factor:g}x {beside}", "tokens_per_second", beside, at_least=factor)


def smaller(beside: str, share: float) -> Target:
    """At most this share of the other's peak memory."""
    return Target(f"<= {share:.0%} of {beside}'s memory", "peak_mb", beside, at_most=share)


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        shape: of the random base model.
        contenders: in the order in which they take turns; targets are asked of the first.
        targets: what is asked.
        settings: of the method: hyperparameters and the adapter's.
        method: of `fettle tune`.
        rows: draws so many rows of this vocabulary.
        batch_size: rows a step.
        steps: of one epoch.
        in_float32: is measured in float32 too, where bf16 is not all there is.
    """

    shape: str
    contenders: tuple[str, ...]
    targets: tuple[Target, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    method: str = "lora"
    rows: Callable[[workload.Draw, int, int], list[workload.Row]] = workload.completions
    batch_size: int = 16
    steps: int = 12
    in_float32: bool = False


PEERS = (faster("trainer", 5), faster("trl", 8), smaller("trainer", 0.6))

CASES = {
    "lora-m8": Case("m8", ("fettle", "trainer", "trl"), PEERS, LORA, in_float32=True),
    "lora-m110": Case("m110", ("fettle", "trainer", "trl"), PEERS, LORA, batch_size=8, steps=6, in_float32=True),
    "top-quarter-m8": Case("m8", ("above-trunk", "trainer"), (faster("trainer", 8),), TOP_QUARTER),
    "top-quarter-m110": Case(
        "m110", ("above-trunk", "trainer"), (faster("trainer", 8),), TOP_QUARTER, batch_size=8, steps=6
    ),
    "tfew-4-choices": Case(
        "m8", ("choices", "choices-repeated"), (faster("choices-repeated", 3),), method="tfew", rows=workload.choices(4)
    ),
    "tfew-77-choices": Case(
        "m110",
        ("choices",),
        (Target("<= 24 GiB", "peak_mb", at_most=24 * 1024),),
        method="tfew",
        rows=workload.choices(77),
        batch_size=8,
        steps=3,
    ),
    "8-jobs": Case(
        "m8",
        ("sweep", "workers"),
        (faster("workers", 2),),
        LORA | {"epochs": 2},
        rows=workload.texts,
        batch_size=8,
        steps=4,
    ),
    "8-jobs-one-process": Case(
        "m8",
        ("joint", "in-sequence"),
        (faster("in-sequence", 2),),
        LORA | {"epochs": 2},
        rows=workload.texts,
        batch_size=8,
        steps=4,
    ),
}
