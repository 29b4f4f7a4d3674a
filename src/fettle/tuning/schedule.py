"""Learning-rate schedules: the share of the peak rate at each step."""

from collections.abc import Callable

Schedule = Callable[[int, int], float]


def linear_decay(warmup_fraction: float) -> Schedule:
    """Rise from 0 over the first share of the steps, then fall in a straight line to 0 at the end."""

    def share(step: int, total: int) -> float:
        warmup = warmup_fraction * total
        if step + 1 < warmup:
            return (step + 1) / warmup
        return max((total - step) / max(total - warmup, 1.0), 0.0) if step > warmup else 1.0

    return share


def stable_then_decay(warmup_steps: int, decay_fraction: float) -> Schedule:
    """Rise, stay at the peak, and fall to 0 over the last share: the end can be chosen late.

    Source: MiniCPM (arXiv 2404.06395), "warmup-stable-decay".
    """

    def share(step: int, total: int) -> float:
        rising = min((step + 1) / warmup_steps, 1.0)
        return min(rising, (total - step) / max(decay_fraction * total, 1.0))

    return share
