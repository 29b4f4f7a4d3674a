"""From a row to an example: turns of a conversation, of which the assistant's are learned."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle.data.files import Fault, scan_rows
from fettle.errors import InvalidRows
from fettle.types.resources import PromptFormat

Row = dict[str, Any]
ROLES = ("system", "user", "assistant")
#: Faults that a message shows; the rest are counted.
MAX_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says; an assistant's turn is learned unless its weight is 0."""

    role: str
    content: str
    is_learned: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """A row that can be learned from; a prompt with its completion is a conversation of two turns."""

    line: int
    prompt_format: PromptFormat
    turns: tuple[Turn, ...]
    ignored: tuple[str, ...] = ()

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """What comes before the last answer."""
        return self.turns[:-1]

    @property
    def answer(self) -> str:
        """The last answer."""
        return self.turns[-1].content


def read_examples(path: Path) -> Iterator[Example | list[Fault]]:
    """Every row of a file, as an example or as all that is wrong with it.

    Raises:
        FettleError: the file itself cannot be read; see `scan_rows`.
    """
    for found in scan_rows(path):
        yield [found] if isinstance(found, Fault) else parse(found.line, found.value)


def load_examples(path: Path) -> Iterator[Example]:
    """Every example of a file.

    Raises:
        InvalidRows: after the last row, if any row cannot be used; names every one.
    """
    faults: list[Fault] = []
    count = 0
    for found in read_examples(path):
        count += 1
        if isinstance(found, Example):
            yield found
        else:
            faults += found
    refuse(path, faults, count)


def refuse(path: Path, faults: list[Fault], num_rows: int, num_bad: int | None = None) -> None:
    """Raise if there are faults.

    Raises:
        InvalidRows: there are.
    """
    if not faults:
        return
    bad = num_bad or len({fault.line for fault in faults})
    shown = [str(fault) for fault in faults[:MAX_SHOWN]]
    if bad > len({fault.line for fault in faults[:MAX_SHOWN]}):
        shown.append("...")
    raise InvalidRows(
        f"{bad} of {num_rows} rows in {path} cannot be used:",
        faults=shown,
        hint=f"`fettle data check {path} --json` lists them all.",
    )


def parse(line: int, row: Any) -> Example | list[Fault]:
    """One row to an example, or everything that is wrong with it."""
    if not isinstance(row, dict):
        return [Fault(line, f"a JSON {json_name(row)} where an object is expected")]
    if "messages" in row:
        return _conversation(line, row)
    if "prompt" in row or "completion" in row:
        return _pair(line, row)
    keys = ", ".join(f"'{key}'" for key in list(row)[:5]) or "no keys"
    return [Fault(line, f'has {keys}; expected "prompt" and "completion", or "messages"')]


def _pair(line: int, row: Row) -> Example | list[Fault]:
    faults = [fault for key in ("prompt", "completion") for fault in _text_faults(line, key, row)]
    if faults:
        return faults
    turns = (Turn("user", row["prompt"]), Turn("assistant", row["completion"], is_learned=True))
    return Example(line, "prompt", turns, tuple(key for key in row if key not in ("prompt", "completion")))


def _text_faults(line: int, key: str, row: Row, where: str = "") -> list[Fault]:
    name = f"{where}{key}"
    if key not in row:
        return [Fault(line, f"`{name}` is missing")]
    if not isinstance(row[key], str):
        return [Fault(line, f"`{name}` is a JSON {json_name(row[key])}; expected a string")]
    if not row[key].strip():
        return [Fault(line, f"`{name}` is empty")]
    return []


def _conversation(line: int, row: Row) -> Example | list[Fault]:
    messages = row["messages"]
    if not isinstance(messages, list):
        return [Fault(line, f"`messages` is a JSON {json_name(messages)}; expected an array")]
    faults = [fault for i, message in enumerate(messages) for fault in _message_faults(line, i, message)]
    faults = faults or _order_faults(line, messages)
    if faults:
        return faults
    return Example(line, "chat", tuple(map(_turn, messages)), tuple(key for key in row if key != "messages"))


def _turn(message: Row) -> Turn:
    is_learned = message["role"] == "assistant" and message.get("weight", 1) != 0
    return Turn(message["role"], message["content"], is_learned)


def _message_faults(line: int, index: int, message: Any) -> list[Fault]:
    where = f"messages[{index}]"
    if not isinstance(message, dict):
        return [Fault(line, f"`{where}` is a JSON {json_name(message)}; expected an object")]
    faults = []
    if message.get("role") not in ROLES:
        found = repr(message["role"]) if "role" in message else "missing"
        faults.append(Fault(line, f"`{where}.role` is {found}; expected {', '.join(ROLES)}"))
    faults += _text_faults(line, "content", message, where + ".")
    if message.get("weight", 1) not in (0, 1):
        faults.append(Fault(line, f"`{where}.weight` is {message['weight']!r}; expected 0 or 1"))
    return faults


def _order_faults(line: int, messages: list[Row]) -> list[Fault]:
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        return [Fault(line, "`messages` has no assistant turn: there is nothing to learn")]
    faults = []
    if roles[-1] != "assistant":
        faults.append(Fault(line, f"`messages` ends with a {roles[-1]} turn; expected an assistant turn"))
    if "system" in roles[1:]:
        faults.append(Fault(line, "`messages` has a system turn that is not the first"))
    if not any(_turn(message).is_learned for message in messages):
        faults.append(Fault(line, "every assistant turn has weight 0: there is nothing to learn"))
    return faults


def json_name(value: Any) -> str:
    """What JSON calls the type of a value, e.g. 'array'."""
    names = {list: "array", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
    return names.get(type(value), "object")
