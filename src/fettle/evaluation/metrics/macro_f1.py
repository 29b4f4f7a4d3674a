"""Macro F1: the F1 of each label by itself, and their plain mean, in which rare labels count as much as frequent ones.

Source: Sokolova and Lapalme, A systematic analysis of performance measures (2009), table 3; F1 of a label is
2 TP / (2 TP + FP + FN), which is why a row that was taken for another label counts against both.
"""

from collections.abc import Mapping

from fettle.evaluation.metrics.metric import Metric, Part

EACH = "macro_f1."


def parts(answer: str, expected: str) -> Mapping[str, Part]:
    """What a row adds to the F1 of the labels that take part in it."""
    if answer == expected:
        return {EACH + expected: Part(2.0, 2.0)}
    return {EACH + expected: Part(0.0, 1.0), EACH + answer: Part(0.0, 1.0)}


MACRO_F1 = Metric("macro_f1", "F1 of each label, and their mean", parts, for_classes=True, mean_of=EACH)
