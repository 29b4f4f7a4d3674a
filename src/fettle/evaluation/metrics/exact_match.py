"""Exact match: the whole answer is the expected text."""

from collections.abc import Mapping

from fettle.evaluation.metrics.metric import Metric, Part


def parts(answer: str, expected: str) -> Mapping[str, Part]:
    """1 when both are the same after surrounding white space is cut off."""
    return {"exact_match": Part(float(answer.strip() == expected.strip()))}


EXACT_MATCH = Metric("exact_match", "the whole answer is the expected text (outer white space aside)", parts)
