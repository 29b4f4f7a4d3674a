"""Ways to compare an answer with the expected text, one file each; METRICS lists them."""

from fettle.evaluation.metrics.accuracy import ACCURACY
from fettle.evaluation.metrics.exact_match import EXACT_MATCH
from fettle.evaluation.metrics.json_equal import JSON_EQUAL
from fettle.evaluation.metrics.json_field import JSON_FIELD
from fettle.evaluation.metrics.macro_f1 import MACRO_F1
from fettle.evaluation.metrics.metric import Metric, Part
from fettle.evaluation.metrics.rouge_l import ROUGE_L
from fettle.evaluation.metrics.token_f1 import TOKEN_F1
from fettle.plugins import Table, by_name

_ALL = [EXACT_MATCH, JSON_EQUAL, JSON_FIELD, TOKEN_F1, ROUGE_L, ACCURACY, MACRO_F1]
METRICS: Table[Metric] = Table("metric", "metrics", by_name(_ALL))

__all__ = ["METRICS", "Metric", "Part"]
