"""Learning-rate schedules: the share of the peak rate at each step."""

import math
from collections.abc import Callable

from fettle.plugins import Table
from fettle.types.tuning import Hyperparameters

Schedule = Callable[[int, int], float]
#: The share that is left at a step behind the warm-up: (step, warm-up steps, all steps).
Fall = Callable[[int, float, int], float]


def linear(step: int, warmup: float, total: int) -> float:
    """In a straight line to 0 at the end."""
    return max((total - step) / max(total - warmup, 1.0), 0.0)


def cosine(step: int, warmup: float, total: int) -> float:
    """Half a wave from 1 to 0. Source: arXiv 1608.03983, without restarts."""
    gone = (step - warmup) / max(total - warmup, 1.0)
    return (1 + math.cos(math.pi * min(max(gone, 0.0), 1.0))) / 2


def constant(_step: int, _warmup: float, _total: int) -> float:
    """It stays at the peak."""
    return 1.0


def inverse_sqrt(step: int, warmup: float, _total: int) -> float:
    """With one over the root of the steps: half the peak after four times the warm-up. Source: arXiv 1706.03762."""
    return math.sqrt(max(warmup, 1.0) / max(step, warmup, 1.0))


def last_share(decay_fraction: float) -> Fall:
    """At the peak, and in a straight line to 0 over the last share of the steps, so the end can be chosen late.

    Source: MiniCPM (arXiv 2404.06395), "warmup-stable-decay".
    """
    return lambda step, _warmup, total: (total - step) / max(decay_fraction * total, 1.0)


SCHEDULES: Table[Callable[[Hyperparameters], Fall]] = Table(
    "schedule",
    "schedules",
    {
        "linear": lambda _: linear,
        "cosine": lambda _: cosine,
        "constant": lambda _: constant,
        "inverse_sqrt": lambda _: inverse_sqrt,
        "stable_then_decay": lambda settings: last_share(settings.decay_fraction),
    },
)


def schedule_for(settings: Hyperparameters) -> Schedule:
    """The one that the settings name."""
    fall = SCHEDULES[settings.schedule](settings)
    return _after_warmup(settings.num_warmup_steps, fall, settings.min_rate_fraction)


def stable_then_decay(warmup_steps: int, decay_fraction: float) -> Schedule:
    """Rise, stay at the peak, and fall to 0 over the last share."""
    return _after_warmup(lambda _: warmup_steps, last_share(decay_fraction))


def _after_warmup(num_warmup_steps: Callable[[int], float], fall: Fall, floor: float = 0.0) -> Schedule:
    def share(step: int, total: int) -> float:
        warmup = num_warmup_steps(total)
        if step + 1 < warmup:
            return (step + 1) / warmup
        return floor + (1 - floor) * min(fall(step, warmup, total), 1.0)

    return share
