"""The turns of a conversation, as a row of a file has them; or all that is wrong with them."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

Row = dict[str, Any]
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says; an assistant's turn is learned unless its weight is 0."""

    role: str
    content: str
    is_learned: bool = False

    @property
    def extra(self) -> dict[str, Any]:
        """Nothing besides: rows have no tools."""
        return {}


def json_name(value: object) -> str:
    """What JSON calls the type of a value, e.g. 'array'."""
    names = {list: "array", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
    return names.get(type(value), "object")


def names_of(row: Row) -> str:
    """The first few field names, for people."""
    names = [f"`{name[:40]}`" for name in list(row)[:5]]
    return (", ".join(names) + (", ..." if len(row) > 5 else "")) or "no field"


def text_faults(name: str, row: Row, where: str = "") -> list[str]:
    """What is wrong with a field that must be a text with something in it."""
    at = f"`{where}{name}`"
    if name not in row:
        near = get_close_matches(name, row, n=1)
        return [f"{at} is missing" + (f"; is it `{near[0]}`?" if near else f"; there is {names_of(row)}")]
    if not isinstance(row[name], str):
        return [f"{at} is a JSON {json_name(row[name])}; expected a string"]
    return [] if row[name].strip() else [f"{at} is empty"]


def conversation(messages: object) -> tuple[Turn, ...] | list[str]:
    """A conversation that ends with the assistant's answer."""
    faults = _faults(messages, "messages") + (_order_faults(_roles(messages)) if _roles(messages) else [])
    if faults:
        return faults
    found = turns(messages)
    return found if any(turn.is_learned for turn in found) else ["every assistant turn has weight 0: nothing to learn"]


def question(messages: object, name: str = "messages") -> tuple[Turn, ...] | list[str]:
    """A conversation that is to be answered: it ends with the user's turn."""
    faults = _faults(messages, name)
    roles = _roles(messages)
    if not faults and roles[-1] != "user":
        faults = [f"`{name}` ends with a turn of role {roles[-1]!r}; expected 'user', for the answers follow it"]
    if faults:
        return faults
    return tuple(Turn(turn.role, turn.content) for turn in turns(messages))


def turns(messages: Any) -> tuple[Turn, ...]:
    """The turns of messages without faults."""
    return tuple(map(_turn, messages))


def message_faults(place: int, message: object, name: str = "messages") -> list[str]:
    """What is wrong with one message."""
    where = f"{name}[{place}]"
    if not isinstance(message, dict):
        return [f"`{where}` is a JSON {json_name(message)}; expected an object"]
    faults = []
    if message.get("role") not in ROLES:
        found = repr(message["role"]) if "role" in message else "missing"
        faults.append(f"`{where}.role` is {found}; expected {', '.join(ROLES)}")
    known = ("role", "content", "weight")
    unknown = [field for field, value in message.items() if field not in known and value is not None]
    faults += [f"`{where}.{field}` is not supported here; remove it" for field in unknown]
    return [*faults, *_content_faults(message, where), *_weight_faults(message, where)]


def _faults(messages: object, name: str) -> list[str]:
    if not isinstance(messages, list):
        return [f"`{name}` is a JSON {json_name(messages)}; expected an array"]
    if not messages:
        return [f"`{name}` is empty"]
    faults = [fault for place, message in enumerate(messages) for fault in message_faults(place, message, name)]
    late_system = "system" in list(_roles(messages))[1:]
    return faults + ([f"`{name}` has a system turn that is not the first"] if late_system else [])


def _roles(messages: Any) -> list[Any]:
    is_list = isinstance(messages, list)
    return [message.get("role") if isinstance(message, dict) else None for message in messages] if is_list else []


def _turn(message: Row) -> Turn:
    content = message["content"]
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    return Turn(message["role"], text, message["role"] == "assistant" and message.get("weight") != 0)


def _content_faults(message: Row, where: str) -> list[str]:
    content = message.get("content")
    if not isinstance(content, list):
        return text_faults("content", message, f"{where}.")
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


def _order_faults(roles: Iterable[Any]) -> list[str]:
    known = list(roles)
    if "assistant" not in known:
        return ["`messages` has no assistant turn: there is nothing to learn"]
    faults = []
    if "user" not in known[: known.index("assistant")]:
        faults.append("`messages` has no user turn before the first assistant turn")
    if known[-1] != "assistant" and known[-1] in ROLES:
        faults.append(f"`messages` ends with a {known[-1]} turn; expected an assistant turn")
    return faults
