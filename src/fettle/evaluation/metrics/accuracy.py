"""Accuracy: the share of texts whose label is the expected one."""

from collections.abc import Mapping

from fettle.evaluation.metrics.metric import Metric, Part


def parts(answer: str, expected: str) -> Mapping[str, Part]:
    """1 when both are the same label."""
    return {"accuracy": Part(float(answer == expected))}


ACCURACY = Metric("accuracy", "the label is the expected one", parts, for_classes=True)
