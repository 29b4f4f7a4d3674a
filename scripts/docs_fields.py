"""Tables of a record's fields: name, what it may be, default, meaning; all of it read from the fields themselves."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

KINDS = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path", NoneType: "null"}
SIGNS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def field_table(record: type[BaseModel], head: str = "name", shown: Any = "`{}`".format) -> str:
    """A Markdown table of a record's fields; those of a record inside have dotted names."""
    rows = "".join(f"| {shown(name)} | {' | '.join(cells)} |\n" for name, *cells in _rows(record))
    return f"| {head} | value | default | meaning |\n|---|---|---|---|\n{rows}"


def _rows(record: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, field in record.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _rows(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value_text(field), _default(field), cell(field.description or "")


def value_text(field: FieldInfo) -> str:
    """What a field may be: its type and bounds."""
    bounds = {sign: getattr(one, sign) for one in field.metadata for sign in SIGNS if hasattr(one, sign)}
    if (pattern := next((one.pattern for one in field.metadata if hasattr(one, "pattern")), None)) is not None:
        choices = re.fullmatch(r"\^\((.+)\)\$", str(pattern))
        return _choice(choices[1].split("|")) if choices else f"text like `{cell(str(pattern))}`"
    lengths = [_length(one) for one in field.metadata]
    return ", ".join([_type(field.annotation), *_bounds(bounds), *filter(None, lengths)])


def cell(text: str) -> str:
    """A text that does not break its table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _bounds(bounds: dict[str, Any]) -> list[str]:
    if {"ge", "le"} <= bounds.keys():
        return [f"{bounds['ge']} to {bounds['le']}"]
    return [f"{SIGNS[sign]} {bound}" for sign, bound in bounds.items()]


def _length(bound: Any) -> str:
    if hasattr(bound, "min_length"):
        return f"at least {bound.min_length}"
    return f"at most {bound.max_length}" if hasattr(bound, "max_length") else ""


def _type(annotation: Any) -> str:
    inner = get_args(annotation)
    match get_origin(annotation):
        case kind if kind is Literal:
            return _choice(inner)
        case kind if kind in (Union, UnionType):
            return " or ".join(_type(one) for one in inner if one is not NoneType)
        case kind if kind is tuple:
            return f"list of {_type(inner[0])}s"
        case kind if kind is dict:
            return f"{_type(inner[1])} by {_type(inner[0])}"
        case _:
            return KINDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _choice(choices: Any) -> str:
    named = [f"`{choice}`" for choice in choices]
    return " or ".join([", ".join(named[:-1]), named[-1]]) if len(named) > 1 else named[0]


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "none" if field.default_factory else "(needed)"
    if field.default in (None, "", ()):
        return "none"
    if isinstance(field.default, tuple):
        return ", ".join(f"`{one}`" for one in field.default)
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
