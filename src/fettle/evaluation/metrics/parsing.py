"""Reading JSON out of answers; what is not JSON is told apart from a JSON null."""

import json
from typing import Any, Final


class _NotJson:
    def __repr__(self) -> str:
        return "NOT_JSON"


NOT_JSON: Final = _NotJson()


def read_json(text: str) -> Any:
    """The value that `text` is in JSON, or NOT_JSON; NaN and Infinity are not JSON."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_number)
    except (ValueError, RecursionError):
        return NOT_JSON


def canonical(value: Any) -> str:
    """A text that two JSON values share exactly when they are equal, in whatever order their keys stand.

    Unlike `==` it tells true from 1.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _number(text: str) -> int | float:
    # 1.0 and 1 are the same number in JSON.
    number = float(text)
    return int(number) if number.is_integer() else number


def _refuse(name: str) -> Any:
    raise ValueError(name)
