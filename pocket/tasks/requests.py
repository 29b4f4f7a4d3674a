"""Requests with known slots: templates of `domains` expanded, filled and said in several tones."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from pocket.prose import Passages
from pocket.tasks.domains import RECORDS, REQUESTS, Intent
from pocket.tasks.slots import SLOTS

_CHOICE = re.compile(r"\(([^()\[\]]*(?:\[[^\]]*\][^()\[\]]*)*)\)")
_PART = re.compile(r"(\[\w+\])")


@dataclass(frozen=True)
class Request:
    """What someone said, and the spans of it that fill slots, in the order of the text."""

    intent: Intent
    text: str
    slots: dict[str, str]


def random_request(rng: random.Random, source: Passages, intent: Intent | None = None) -> Request:
    """A request of `intent`, or of any; a written fact one time in four."""
    intent = intent or rng.choice(REQUESTS if rng.random() < 0.75 else RECORDS)
    pattern = rng.choice(intent.templates)
    spoken = not pattern[0].isupper() and intent in REQUESTS
    while True:
        parts = _PART.split(expand(rng, pattern))
        slots = {part[1:-1]: SLOTS[part[1:-1]].make(rng, source) for part in parts[1::2]}
        if len({value.lower() for value in slots.values()}) == len(slots):
            break
    tone = _tone(rng) if spoken else str
    slots = {name: tone(_written(rng, value, spoken=spoken)) for name, value in slots.items()}
    text = "".join(slots[part[1:-1]] if part.startswith("[") else tone(part) for part in parts)
    return Request(intent, _finish(rng, text, slots) if spoken else text, slots)


def expand(rng: random.Random, pattern: str) -> str:
    """One of the texts that `(a|b|)` choices stand for."""
    while "(" in pattern and _CHOICE.search(pattern):
        pattern = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), pattern)
    return pattern.replace("  ", " ").strip()


def _written(rng: random.Random, value: str, *, spoken: bool) -> str:
    """The entity as a hurried writer writes it."""
    return value.lower() if spoken and rng.random() < 0.2 and not any(c.isdigit() for c in value) else value


def _tone(rng: random.Random) -> Callable[[str], str]:
    """How the whole request is written: mostly as it is, often all in lower case, rarely in capitals."""
    tones: list[Callable[[str], str]] = [str, str.lower, str.upper]
    return rng.choices(tones, weights=[70, 27, 3])[0]


def _finish(rng: random.Random, text: str, slots: dict[str, str]) -> str:
    """The request with a greeting, an end or a capital where that leaves its slots whole."""
    kind = rng.random()
    if text.isupper():
        return text
    if kind < 0.12:
        text = (
            rng.choice(["please ", "hey, ", "hi, ", "hello, ", "ok ", "could you please ", "now ", "um ", "well, "])
            + text
        )
    elif kind < 0.2:
        text += rng.choice(
            [" please", ", thanks", " now", ", would you", " thank you", " if you can", " for me", ", ok"]
        )
    if rng.random() < 0.3 and not any(text.startswith(value) for value in slots.values()):
        text = text[0].upper() + text[1:]
    return text + rng.choice(["", "", "", ".", "?", "!"]) if rng.random() < 0.5 else text
