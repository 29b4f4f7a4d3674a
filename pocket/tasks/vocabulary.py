"""Words that between them use every token of the vocabulary, so that training asks for each.

A word has other tokens at the start of a line or after a quotation mark than after a space; copying rows of these words
teach which belong together. A token that no row asks for would be one that no adapter can tell from others.
"""

import json
import random
from functools import cache
from pathlib import Path

_TOKENIZER = Path(__file__).parents[1] / "tokenizer" / "tokenizer.json"
_SPACE = "Ġ"


@cache
def _pieces() -> tuple[list[str], list[str]]:
    """The tokens that begin a word, and those that go on with one, as text; parts of characters are left out."""
    tokens = json.loads(_TOKENIZER.read_text(encoding="utf-8"))["model"]["vocab"]
    plain = [token for token in tokens if token.isalnum() and (token.isascii() or token.startswith(_SPACE))]
    starts = sorted(token[1:] for token in plain if token.startswith(_SPACE) and token[1:].isascii() and token[1:])
    return starts, sorted(token for token in plain if not token.startswith(_SPACE))


def word(rng: random.Random) -> str:
    """A word, every token of the vocabulary as likely: one token as it is, or a few pieces together."""
    starts, rest = _pieces()
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(starts)
    return rng.choice(rest) if kind < 0.65 else rng.choice(starts) + "".join(rng.choices(rest, k=rng.randint(1, 2)))


def phrase(rng: random.Random, fewest: int, most: int) -> str:
    """Words with no relation to each other; as written, with capitals, or in capitals."""
    words = [word(rng) for _ in range(rng.randint(fewest, most))]
    kind = rng.random()
    if kind < 0.3:
        words = [word[:1].upper() + word[1:] for word in words]
    return " ".join(words).upper() if kind > 0.97 else " ".join(words)
