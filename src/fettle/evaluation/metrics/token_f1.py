"""Token F1: the overlap of words, as in question answering.

Source: Rajpurkar et al., SQuAD (2016), https://arxiv.org/abs/1606.05250, section 6.1.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping

from fettle.evaluation.metrics.metric import Metric, Part

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words(text: str) -> list[str]:
    """The words that are compared: lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall over words; two empty texts agree."""
    given, wanted = Counter(words(answer)), Counter(words(expected))
    total = given.total() + wanted.total()
    return 2.0 * (given & wanted).total() / total if total else 1.0


def parts(answer: str, expected: str) -> Mapping[str, Part]:
    """The F1 of one row; over the rows it is averaged."""
    return {"token_f1": Part(f1(answer, expected))}


TOKEN_F1 = Metric("token_f1", "overlap of words (lower case, no punctuation, no articles), as F1", parts)
