"""Unit-hours: how many units a cluster held, times how long."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

_MICROSECOND, _PER_HOUR = timedelta(microseconds=1), 3_600_000_000


def unit_hours(changes: Sequence[tuple[datetime, int]], until: datetime) -> Decimal:
    """What was held from the first change until a moment, to 28 digits; see `unit_time`."""
    return Decimal(unit_time(changes, until) // _MICROSECOND) / _PER_HOUR


def unit_time(changes: Sequence[tuple[datetime, int]], until: datetime) -> timedelta:
    """The units times how long each number of them was held, exactly.

    Args:
        changes: when the number of units became what, in order.
        until: what comes later does not count.
    """
    moments = [*(min(moment, until) for moment, _ in changes), until]
    spans = [after - before for before, after in pairwise(moments)]
    return sum((units * span for (_, units), span in zip(changes, spans, strict=True)), timedelta())
