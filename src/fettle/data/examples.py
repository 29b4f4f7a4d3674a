"""From a row to an example, turns of which the assistant's are learned; or to all that is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fettle.data.faults import Faults
from fettle.data.files import Fault, scan_rows
from fettle.types.resources import PromptFormat

Row = dict[str, Any]
ROLES = ("system", "user", "assistant")
PAIR = ("prompt", "completion")
#: Fields that change what a row means: to ignore one would teach something else than the row says.
NOT_SUPPORTED = ("tools", "functions", "choices", "chosen", "rejected", "preferred_output", "non_preferred_output")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says; an assistant's turn is learned unless its weight is 0."""

    role: str
    content: str
    is_learned: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """A row that can be learned from; a prompt with its completion is a conversation of two turns.

    `ignored` are the names of the row's fields that nothing takes notice of.
    """

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
        InvalidRows: after the last row, if any row cannot be used.
        FettleError: the file itself cannot be read; see `scan_rows`.
    """
    faults = Faults()
    num_rows = 0
    for found in read_examples(path):
        num_rows += 1
        if isinstance(found, Example):
            yield found
        else:
            faults.add(found)
    faults.refuse(path, num_rows)


def refuse(path: Path, faults: list[Fault], num_rows: int, num_bad: int | None = None) -> None:
    """Raise if there are faults.

    Raises:
        InvalidRows: there are.
    """
    by_line: dict[int, list[Fault]] = {}
    for fault in faults:
        by_line.setdefault(fault.line, []).append(fault)
    kept = Faults()
    for found in by_line.values():
        kept.add(found)
    kept.num_rows = num_bad or kept.num_rows
    kept.refuse(path, num_rows)


def parse(line: int, row: object) -> Example | list[Fault]:
    """One row to an example, or everything that is wrong with it.

    Fields that are not known are ignored, except those in NOT_SUPPORTED and those inside of messages.
    """
    found = _parsed(line, row)
    return found if isinstance(found, Example) else [Fault(line, text) for text in found]


def json_name(value: object) -> str:
    """What JSON calls the type of a value, e.g. 'array'."""
    names = {list: "array", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
    return names.get(type(value), "object")


def _parsed(line: int, row: object) -> Example | list[str]:
    if not isinstance(row, dict):
        return [f"is a JSON {json_name(row)}; expected an object"]
    is_chat, is_pair = "messages" in row, any(name in row for name in PAIR)
    faults = [f"`{name}` is not supported here; remove it" for name in NOT_SUPPORTED if row.get(name) is not None]
    if is_chat and is_pair:
        return [*faults, "has `messages` beside `prompt` or `completion`; keep one of the two forms"]
    if not is_chat and not is_pair:
        return [*faults, f"has {_names(row)}; expected `prompt` and `completion`, or `messages`"]
    turns = _conversation(row["messages"]) if is_chat else _pair(row)
    if isinstance(turns, list):
        return faults + turns
    known = ("messages",) if is_chat else PAIR
    ignored = tuple(name for name in row if name not in known)
    return faults or Example(line, "chat" if is_chat else "prompt", turns, ignored)


def _pair(row: Row) -> tuple[Turn, ...] | list[str]:
    faults = [fault for name in PAIR for fault in _text_faults(name, row)]
    return faults or (Turn("user", row["prompt"]), Turn("assistant", row["completion"], is_learned=True))


def _text_faults(name: str, row: Row, where: str = "") -> list[str]:
    at = f"`{where}{name}`"
    if name not in row:
        near = get_close_matches(name, row, n=1)
        return [f"{at} is missing" + (f"; is it `{near[0]}`?" if near else f"; there is {_names(row)}")]
    if not isinstance(row[name], str):
        return [f"{at} is a JSON {json_name(row[name])}; expected a string"]
    return [] if row[name].strip() else [f"{at} is empty"]


def _conversation(messages: object) -> tuple[Turn, ...] | list[str]:
    if not isinstance(messages, list):
        return [f"`messages` is a JSON {json_name(messages)}; expected an array"]
    if not messages:
        return ["`messages` is empty"]
    faults = [fault for place, message in enumerate(messages) for fault in _message_faults(place, message)]
    faults += _order_faults([message.get("role") if isinstance(message, dict) else None for message in messages])
    if faults:
        return faults
    turns = tuple(map(_turn, messages))
    return turns if any(turn.is_learned for turn in turns) else ["every assistant turn has weight 0: nothing to learn"]


def _turn(message: Row) -> Turn:
    content = message["content"]
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    return Turn(message["role"], text, message["role"] == "assistant" and message.get("weight") != 0)


def _message_faults(place: int, message: object) -> list[str]:
    where = f"messages[{place}]"
    if not isinstance(message, dict):
        return [f"`{where}` is a JSON {json_name(message)}; expected an object"]
    faults = []
    if message.get("role") not in ROLES:
        found = repr(message["role"]) if "role" in message else "missing"
        faults.append(f"`{where}.role` is {found}; expected {', '.join(ROLES)}")
    known = ("role", "content", "weight")
    unknown = [name for name, value in message.items() if name not in known and value is not None]
    faults += [f"`{where}.{name}` is not supported here; remove it" for name in unknown]
    return [*faults, *_content_faults(message, where), *_weight_faults(message, where)]


def _content_faults(message: Row, where: str) -> list[str]:
    content = message.get("content")
    if not isinstance(content, list):
        return _text_faults("content", message, f"{where}.")
    bad = [number for number, part in enumerate(content) if not _is_text_part(part)]
    faults = [f"`{where}.content[{number}]` is not a text part; expected only text" for number in bad]
    is_empty = not bad and not "".join(part["text"] for part in content).strip()
    return [*faults, f"`{where}.content` is empty"] if is_empty else faults


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _weight_faults(message: Row, where: str) -> list[str]:
    weight = message.get("weight")
    if weight is None:
        return []
    if message.get("role") != "assistant":
        return [f"`{where}.weight` is on a turn that is not the assistant's; remove it"]
    is_fine = not isinstance(weight, bool) and weight in (0, 1)
    return [] if is_fine else [f"`{where}.weight` is {weight!r}; expected 0 or 1"]


def _order_faults(roles: list[Any]) -> list[str]:
    faults = ["`messages` has a system turn that is not the first"] if "system" in roles[1:] else []
    if "assistant" not in roles:
        return [*faults, "`messages` has no assistant turn: there is nothing to learn"]
    if "user" not in roles[: roles.index("assistant")]:
        faults.append("`messages` has no user turn before the first assistant turn")
    if roles[-1] != "assistant" and roles[-1] in ROLES:
        faults.append(f"`messages` ends with a {roles[-1]} turn; expected an assistant turn")
    return faults


def _names(row: Row) -> str:
    names = [f"`{name[:40]}`" for name in list(row)[:5]]
    return (", ".join(names) + (", ..." if len(row) > 5 else "")) or "no field"
