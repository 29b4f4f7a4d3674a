"""From answers and expected texts to scores with confidence intervals."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fettle.evaluation.metrics import METRICS, Part
from fettle.types.evaluation import MetricScore

RESAMPLES = 1000
CONFIDENCE = 0.95


def row_parts(answer: str, expected: str, metrics: Iterable[str]) -> dict[str, Part]:
    """What one row contributes to every score of the named metrics.

    Raises:
        NotFound: there is no such metric.
    """
    return {name: part for metric in metrics for name, part in METRICS[metric].parts(answer, expected).items()}


def scores(rows: Sequence[Mapping[str, Part]], *, seed: int) -> dict[str, MetricScore]:
    """Each score over all rows, with its bootstrap interval; scores that no row counts for are left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = _means(rows, list(names), seed)
    found |= {name: _score([row[name] for row in rows if name in row], seed) for name in names}
    return {name: score for name, score in found.items() if score is not None}


def mean_of_scores(rows: Sequence[Mapping[str, Part]], names: Sequence[str], seed: int) -> MetricScore:
    """The plain mean of several scores, and its interval when rows are drawn anew; as for `interval`."""
    empty = Part(0.0, 0.0)
    table = np.array([[row.get(name, empty) for name in names] for row in rows], dtype=np.float64)
    rng = np.random.default_rng(seed)
    draws = [_mean_ratio(table[rng.integers(len(rows), size=len(rows))]) for _ in range(RESAMPLES)]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return MetricScore(mean=_mean_ratio(table), low=float(low), high=float(high), count=len(rows))


def _mean_ratio(table: NDArray[np.float64]) -> float:
    """(rows, scores, got and of) to the mean of sum(got) / sum(of) over the scores that a row counts for."""
    got, of = table.sum(axis=0).T
    return float((got[of > 0] / of[of > 0]).mean())


def _means(rows: Sequence[Mapping[str, Part]], names: Sequence[str], seed: int) -> dict[str, MetricScore | None]:
    """The scores of metrics that are means of their parts' scores."""
    groups = {metric.name: metric.mean_of for metric in METRICS.values() if metric.mean_of}
    members = {name: [part for part in names if part.startswith(begin)] for name, begin in groups.items()}
    return {name: mean_of_scores(rows, parts, seed) for name, parts in members.items() if parts}


def interval(got: NDArray[np.float64], of: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """The percentile bootstrap interval of sum(got) / sum(of) when rows are drawn anew.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    rng = np.random.default_rng(seed)
    draws = np.empty(RESAMPLES)
    for draw in range(RESAMPLES):
        picked = rng.integers(len(got), size=len(got))
        weight = of[picked].sum()
        draws[draw] = got[picked].sum() / weight if weight else np.nan
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def _score(parts: Sequence[Part], seed: int) -> MetricScore | None:
    got, of = np.array(parts, dtype=np.float64).T
    if not of.sum():
        return None
    low, high = interval(got, of, seed)
    return MetricScore(mean=float(got.sum() / of.sum()), low=low, high=high, count=len(parts))
