"""What a task row is, and the shapes in which an instruction, its text and the answer are put together."""

import json
import random
from typing import Any, TypedDict


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


Row = list[Message]
"""A conversation that ends with the assistant's turn."""


def message(role: str, content: str) -> Message:
    """One turn."""
    return {"role": role, "content": content}


def exchange(prompt: str, answer: str, system: str | None = None) -> Row:
    """A prompt and its answer, after a system message where there is one."""
    start = [message("system", system)] if system else []
    return [*start, message("user", prompt), message("assistant", answer)]


def compose(rng: random.Random, instruction: str, text: str, answer: str) -> Row:
    """`instruction` applied to `text`, in one of many layouts, with its answer."""
    if rng.random() < 0.2:
        return exchange(text, answer, system=instruction)
    return exchange(layout(rng, instruction, text), answer)


def layout(rng: random.Random, instruction: str, text: str) -> str:
    """`instruction` and `text` in one prompt."""
    bare = instruction.rstrip(".:")
    lead = bare if bare.endswith("?") else bare + ":"
    label = rng.choice(["Text", "Input", "Message", "Passage", "Here it is", "text", "INPUT"])
    one_line = "\n" not in text
    shapes = [
        f"{instruction}\n{text}",
        f"{instruction}\n\n{text}",
        f"{lead}\n{text}",
        f"{instruction}\n\n{label}: {text}",
        f"{text}\n\n{instruction}",
        f"{label}: {text}\n{instruction}",
        f'{instruction}\n"""\n{text}\n"""',
        f"### Instruction\n{instruction}\n### {label}\n{text}",
    ]
    if one_line:
        shapes += [f"{lead} {text}", f"{lead} {text}", f"{lead[0].lower()}{lead[1:]} {text}"]
    return rng.choice(shapes)


def as_json(value: Any) -> str:
    """Compact JSON with ", " and ": " between its parts and Unicode as itself."""
    return json.dumps(value, ensure_ascii=False)


def bullet_list(rng: random.Random, items: list[str]) -> str:
    """Items one below another, with one of several marks."""
    mark = rng.choice(["- ", "* ", "", "{n}. ", "{n}) ", "• "])
    return "\n".join(mark.format(n=n) + item for n, item in enumerate(items, 1))


def inline_list(rng: random.Random, items: list[str]) -> str:
    """Items in one line."""
    kind = rng.randrange(6)
    if kind == 0 and len(items) > 1:
        return ", ".join(items[:-1]) + " " + rng.choice(["or", "and"]) + " " + items[-1]
    if kind == 1:
        return as_json(items)
    return rng.choice([", ", ", ", " | ", " / ", "; "]).join(items)
