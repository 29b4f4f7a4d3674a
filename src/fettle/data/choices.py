"""Rows that give several answers to one prompt and say which is right: multiple choice, and preferences."""

from collections import Counter
from typing import Any, NamedTuple

from fettle.data.messages import Row, Turn, json_name, message_faults, question, text_faults, turns


class Said(NamedTuple):
    """What a row says: turns that end with the right answer, and the answers that are not right."""

    turns: tuple[Turn, ...]
    is_chat: bool = False
    wrong: tuple[str, ...] = ()


def multiple_choice(row: Row) -> Said | list[str]:
    """`prompt` or `messages`, `choices`, and `answer`: the right choice's place from 0, or its text."""
    faults: list[str] = []
    asked, choices = _asked(row, faults), _choices(row.get("choices"), faults)
    right = _place(row, choices, faults)
    if faults:
        return faults
    wrong = tuple(choice for place, choice in enumerate(choices) if place != right)
    return _said(asked, choices[right], wrong, is_chat="messages" in row)


def preference(row: Row) -> Said | list[str]:
    """`prompt`, `chosen` and `rejected`: each a text, or a list of messages."""
    faults: list[str] = []
    is_chat = isinstance(row.get("prompt"), list)
    asked = _question(row["prompt"], "prompt", faults) if is_chat else _asked(row, faults)
    chosen, rejected = (_answer(row, name, faults) for name in ("chosen", "rejected"))
    _differ(chosen, rejected, faults)
    return faults or _said(asked, chosen, (rejected,), is_chat=is_chat)


def openai_preference(row: Row) -> Said | list[str]:
    """`input.messages`, `preferred_output` and `non_preferred_output`, as OpenAI's files have them."""
    faults: list[str] = []
    given = row.get("input")
    if not isinstance(given, dict):
        found = f"a JSON {json_name(given)}" if "input" in row else "missing"
        faults.append(f"`input` is {found}; expected an object with `messages`")
        given = {}
    else:
        faults += [
            f"`input.{name}` is not supported here; remove it" for name in ("tools", "functions") if given.get(name)
        ]
    asked = _question(given.get("messages"), "input.messages", faults) if given else ()
    chosen, rejected = (_answer(row, name, faults) for name in ("preferred_output", "non_preferred_output"))
    _differ(chosen, rejected, faults)
    return faults or _said(asked, chosen, (rejected,), is_chat=True)


def _said(asked: tuple[Turn, ...], right: str, wrong: tuple[str, ...], *, is_chat: bool) -> Said:
    return Said((*asked, Turn("assistant", right, is_learned=True)), is_chat, wrong)


def _asked(row: Row, faults: list[str]) -> tuple[Turn, ...]:
    if "messages" not in row:
        found = text_faults("prompt", row)
        faults += found
        return () if found else (Turn("user", row["prompt"]),)
    if "prompt" in row:
        faults.append("has `messages` beside `prompt`; keep one of the two")
    return _question(row["messages"], "messages", faults)


def _question(messages: object, name: str, faults: list[str]) -> tuple[Turn, ...]:
    found = question(messages, name)
    if isinstance(found, list):
        faults += found
        return ()
    return found


def _choices(given: object, faults: list[str]) -> list[str]:
    if not isinstance(given, list):
        faults.append(f"`choices` is a JSON {json_name(given)}; expected an array of texts")
        return []
    found = [
        fault
        for place, text in enumerate(given)
        for fault in text_faults(f"choices[{place}]", {f"choices[{place}]": text})
    ]
    if len(given) < 2:
        found.append(f"`choices` has {len(given)}; expected two or more")
    texts = [text for text in given if isinstance(text, str)]
    found += [f"`choices` has {text[:40]!r} {count} times" for text, count in Counter(texts).items() if count > 1]
    faults += found
    return [] if found else texts


def _place(row: Row, choices: list[str], faults: list[str]) -> int:
    """The right choice's place; which of the choices it is can only be said when they are without fault."""
    answer: Any = row.get("answer")
    if isinstance(answer, bool) or not isinstance(answer, (int, str)):
        found = f"is a JSON {json_name(answer)}" if "answer" in row else "is missing"
        faults.append(f"`answer` {found}; expected the right choice's place, from 0, or its text")
    elif choices and isinstance(answer, int) and not 0 <= answer < len(choices):
        faults.append(f"`answer` is {answer}; expected 0 to {len(choices) - 1}, the right choice's place")
    elif choices and isinstance(answer, str) and answer not in choices:
        faults.append(f"`answer` is {answer[:40]!r}, which is none of the choices")
    elif choices:
        return choices.index(answer) if isinstance(answer, str) else answer
    return 0


def _answer(row: Row, name: str, faults: list[str]) -> str:
    """The one answer of a field, which is a text or a list of one assistant's message."""
    given = row.get(name)
    if not isinstance(given, list):
        found = text_faults(name, row)
    elif len(given) != 1:
        found = [f"`{name}` has {len(given)} messages; expected the one answer"]
    else:
        found = message_faults(0, given[0], name)
        if not found and given[0]["role"] != "assistant":
            found = [f"`{name}[0].role` is {given[0]['role']!r}; expected 'assistant'"]
    faults += found
    if found:
        return ""
    return given if isinstance(given, str) else turns(given)[0].content


def _differ(chosen: str, rejected: str, faults: list[str]) -> None:
    if chosen and chosen == rejected:
        faults.append("the preferred and the rejected answer are the same: there is nothing to learn")
