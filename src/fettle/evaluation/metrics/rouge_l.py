"""ROUGE-L: the longest common subsequence of words, as F1.

Source: Lin, ROUGE (2004), https://aclanthology.org/W04-1013, section 3;
words as in the `rouge-score` package (no stemming).
"""

import re
from collections.abc import Mapping, Sequence

from fettle.evaluation.metrics.metric import Metric, Part

_WORD = re.compile(r"[a-z0-9]+")


def common_length(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for word in left:
        diagonal = 0
        for place, other in enumerate(right, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]


def rouge_l(answer: str, expected: str) -> float:
    """F1 of the longest common subsequence; 0 when one of them has no words, 1 when both have none."""
    given, wanted = _WORD.findall(answer.lower()), _WORD.findall(expected.lower())
    if not given and not wanted:
        return 1.0
    return 2.0 * common_length(given, wanted) / (len(given) + len(wanted))


def parts(answer: str, expected: str) -> Mapping[str, Part]:
    """The F1 of one row; over the rows it is averaged."""
    return {"rouge_l": Part(rouge_l(answer, expected))}


ROUGE_L = Metric("rouge_l", "longest common subsequence of words, as F1", parts)
