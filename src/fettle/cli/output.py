"""What commands print: tables for people, exactly one JSON document for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


@cache
def console(*, errors: bool = False) -> "Console":
    """Where text for people goes: stdout, or stderr for what is not the result."""
    from rich.console import Console

    return Console(stderr=errors, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Write the value as the one JSON document of this command."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """The value in JSON's own types; records by their fields."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """A table for people; columns whose cells are all numbers stand to the right."""
    from rich import box
    from rich.table import Table

    cells = [list(row) for row in rows]
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        numeric = bool(cells) and all(_is_number(row[place]) for row in cells)
        # Names are to be typed again, so the first column is never cut short.
        whole = max((len(_cell(row[0])) for row in cells), default=0) if place == 0 else None
        table.add_column(column, justify="right" if numeric else "left", min_width=whole)
    for row in cells:
        table.add_row(*(_cell(value) for value in row))
    console().print(table)


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Names and values, one pair a line."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        console().print(f"[bold]{name:<{width}}[/]  {_cell(value)}")


def bytes_text(size: float) -> str:
    """A size for people: '13.4 MB'."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def seconds_text(seconds: float) -> str:
    """A duration for people: '42 s', '3:05', '1:02:09'."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _is_number(value: Any) -> bool:
    text = _cell(value).lstrip("-").replace(",", "")
    return not text or text[:1].isdigit()


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(str(value))
