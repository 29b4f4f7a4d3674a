"""What a metric is: per row a few named parts, which add up to a score over all rows."""

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Part(NamedTuple):
    """A row's contribution to a score; over all rows the score is sum(got) / sum(of).

    With `of` = 1 that is a mean over rows; with counts it is the micro average.
    """

    got: float
    of: float = 1.0


class Metric(NamedTuple):
    """A way to compare an answer with the expected text.

    Attributes:
        name: its key in METRICS, and the first word of the scores it gives.
        description: one line for people.
        parts: (answer, expected) -> parts by score name; empty where the metric does not fit the row.
        for_classes: it compares labels; others compare texts.
        mean_of: what the names of its parts begin with, if the metric's own score is the mean of theirs.
    """

    name: str
    description: str
    parts: Callable[[str, str], Mapping[str, Part]]
    for_classes: bool = False
    mean_of: str = ""
