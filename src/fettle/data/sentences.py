"""Texts as a sentence encoder reads them: whole, between the tokens that its tokenizer puts around a text."""

import re
from collections.abc import Sequence
from typing import Protocol

from fettle.data.examples import Example
from fettle.data.template import Encoded


class TextReader(Protocol):
    """What is needed of a tokenizer."""

    @property
    def special_texts(self) -> Sequence[str]:
        """The texts that stand for control tokens, e.g. '[SEP]'."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Token ids; `add_special_tokens` puts around them what the model wants there."""
        ...


class Sentences:
    """Texts to tokens; the name of a control token inside of a text stays letters."""

    def __init__(self, tokenizer: TextReader) -> None:
        """The texts of a tokenizer."""
        self._tokenizer = tokenizer
        bare, whole = tokenizer.encode("a"), tokenizer.encode("a", add_special_tokens=True)
        start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
        self._before, self._after = whole[:start], whole[start + len(bare) :]
        names = "|".join(re.escape(name[1:]) for name in tokenizer.special_texts if len(name) > 1)
        firsts = "".join(re.escape(name[0]) for name in tokenizer.special_texts)
        # Cut behind the first character of each name, so that no piece has it whole.
        self._inside = re.compile(f"(?<=[{firsts}])(?={names})" if names else "(?!)")

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, with those around it."""
        inner = [token for piece in self._inside.split(text) for token in self._tokenizer.encode(piece)]
        return [*self._before, *inner, *self._after]

    def encode(self, example: Example) -> Encoded:
        """The tokens of a row's text; none of them is to be predicted."""
        ids = self.tokens(example.prompt[-1].content)
        return Encoded(ids, [False] * len(ids))
