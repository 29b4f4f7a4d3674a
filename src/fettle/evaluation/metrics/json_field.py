"""JSON fields: how often each top-level key is right; F1 over the pairs of a nested object.

The F1 is the micro average over all rows, as is usual for slot filling: 2 tp / (given + wanted).
Source: van Rijsbergen, Information Retrieval, 2nd ed. (1979), chapter 7.
"""

from collections.abc import Mapping
from typing import Any

from fettle.evaluation.metrics.metric import Metric, Part
from fettle.evaluation.metrics.parsing import canonical, read_json


def parts(answer: str, expected: str) -> Mapping[str, Part]:
    """One score per key of the expected object, e.g. `json_field.intent`; an object inside is scored by its pairs."""
    wanted = read_json(expected)
    if not isinstance(wanted, dict):
        return {}
    given = read_json(answer)
    found = given if isinstance(given, dict) else {}
    return {f"json_field.{key}": _part(found, key, value) for key, value in wanted.items()}


def _part(found: dict[str, Any], key: str, wanted: Any) -> Part:
    if isinstance(wanted, dict):
        return _pairs(found.get(key), wanted)
    return Part(float(key in found and canonical(found[key]) == canonical(wanted)))


def _pairs(given: Any, wanted: dict[str, Any]) -> Part:
    ours = {(key, canonical(value)) for key, value in given.items()} if isinstance(given, dict) else set()
    theirs = {(key, canonical(value)) for key, value in wanted.items()}
    return Part(2.0 * len(ours & theirs), float(len(ours) + len(theirs)))


JSON_FIELD = Metric("json_field", "each top-level key right; F1 over the pairs of a nested object", parts)
