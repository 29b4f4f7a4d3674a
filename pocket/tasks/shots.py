"""Solved examples and a question like them, as one text or as turns."""

import random

from pocket.tasks.rows import Row, exchange, message

_SIDES = [
    ("Input", "Output"), ("in", "out"), ("Q", "A"), ("x", "y"), ("From", "To"), ("Before", "After"), ("Text", "Output"),
    ("Request", "JSON"), ("Message", "Result"), ("Text", "Label"), ("User", "Reply"),
]  # fmt: skip
_SHAPES = [
    "{l}: {a}\n{r}: {b}", "{l}: {a}\n{r}: {b}", "{a} -> {b}", "{a} => {b}", "{a} | {b}", "{a}\n= {b}", "{a}\n{b}",
    "{l}: {a} => {r}: {b}",
]  # fmt: skip
_HEADS = [
    "", "", "Continue the pattern.\n", "Complete the last one:\n", "Follow the examples.\n\n", "Examples:\n",
    "Go on as in the examples.\n", "Do the same for the last one:\n",
]  # fmt: skip


def show(rng: random.Random, pairs: list[tuple[str, str]], turns_share: float = 0.3) -> Row:
    """All pairs but the last solved; the last one's second part is the answer."""
    *shown, (text, answer) = pairs
    if rng.random() < turns_share:
        turns = [turn for a, b in shown for turn in (message("user", a), message("assistant", b))]
        return [*turns, message("user", text), message("assistant", answer)]
    (left, right), shape = rng.choice(_SIDES), rng.choice(_SHAPES)
    gap = "\n\n" if "\n" in shape and rng.random() < 0.7 else "\n"
    body = gap.join(shape.format(l=left, r=right, a=a, b=b) for a, b in shown)
    question = shape.format(l=left, r=right, a=text, b="").rstrip()
    return exchange(f"{rng.choice(_HEADS)}{body}{gap}{question}", answer)
