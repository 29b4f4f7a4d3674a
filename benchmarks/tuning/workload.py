"""The rows that all contenders train on, drawn by seed: mixed lengths of 40 to 400 tokens, of random tokens."""

from collections.abc import Callable
from typing import Any

import numpy as np

#: Ids below are those of special tokens.
FIRST_ID = 5
LETTERS = list("abcdefghijklmnopqrstuvwxyz     ")
Row = dict[str, Any]
Draw = np.random.Generator


def completions(draw: Draw, count: int, vocab_size: int) -> list[Row]:
    """Rows of which 30 to 80 % are the prompt."""
    lengths, shares = _lengths(draw, count), draw.uniform(0.3, 0.8, count)
    return [
        {"tokens": _tokens(draw, length, vocab_size), "num_prompt": int(length * share)}
        for length, share in zip(lengths, shares, strict=True)
    ]


def choices(num_choices: int) -> Callable[[Draw, int, int], list[Row]]:
    """Prompts with so many answers of 2 to 8 tokens, the right one first."""

    def rows(draw: Draw, count: int, vocab_size: int) -> list[Row]:
        return [
            {
                "prompt": _tokens(draw, length, vocab_size),
                "answers": [_tokens(draw, size, vocab_size) for size in draw.integers(2, 9, num_choices)],
            }
            for length in _lengths(draw, count)
        ]

    return rows


def texts(draw: Draw, count: int, _: int) -> list[Row]:
    """Rows of text, about a character to a token; half of it is the prompt."""
    halves = [length // 2 for length in _lengths(draw, count)]
    return [{"prompt": _text(draw, half), "completion": _text(draw, half)} for half in halves]


def _lengths(draw: Draw, count: int) -> list[int]:
    return [int(length) for length in draw.integers(40, 401, count)]


def _tokens(draw: Draw, count: int, vocab_size: int) -> list[int]:
    return [int(token) for token in draw.integers(FIRST_ID, vocab_size, count)]


def _text(draw: Draw, count: int) -> str:
    return "x" + "".join(draw.choice(LETTERS, count - 2)) + "x"
