"""JSON equality: the answer is the expected JSON value, in whatever order its keys stand."""

from collections.abc import Mapping

from fettle.evaluation.metrics.metric import Metric, Part
from fettle.evaluation.metrics.parsing import NOT_JSON, canonical, read_json


def parts(answer: str, expected: str) -> Mapping[str, Part]:
    """1 when the values are equal; rows whose expected text is no JSON object or list are left out."""
    wanted = read_json(expected)
    if not isinstance(wanted, dict | list):
        return {}
    given = read_json(answer)
    return {"json_equal": Part(float(given is not NOT_JSON and canonical(given) == canonical(wanted)))}


JSON_EQUAL = Metric("json_equal", "the whole JSON value is equal, key order aside", parts)
