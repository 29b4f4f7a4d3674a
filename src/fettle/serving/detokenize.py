"""Token ids to text as they come: whole characters only, and nothing that may turn out to be a stop string."""

from collections.abc import Sequence
from typing import Protocol

_BROKEN = "\ufffd"
# A character has at most four bytes, so an unfinished one at most three tokens that have arrived.
_UNFINISHED = 3
_LONGEST_WINDOW = 16


class TokenDecoder(Protocol):
    """What is needed of a tokenizer."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these tokens, without control tokens."""
        ...


class Detokenizer:
    """The text that each token adds; together it is the text of all tokens.

    What a token looks like may depend on the one before it (spaces) or after it (bytes of one character); so a short
    window of the last tokens is decoded each time.
    """

    def __init__(self, tokenizer: TokenDecoder) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []
        self._num_context = 0
        self._told = 0

    def add(self, token_id: int) -> str:
        """The text that is certain now."""
        self._window.append(token_id)
        text = self._tokenizer.decode(self._window)
        if text.endswith(_BROKEN):
            return self._shortened(text) if len(self._window) > _LONGEST_WINDOW else self._told_to(text.rstrip(_BROKEN))
        new = text[self._told :]
        self._keep(self._window[self._num_context :])
        return new

    def rest(self) -> str:
        """What was held back, when no more tokens come."""
        return self._tokenizer.decode(self._window)[self._told :] if self._window else ""

    def _told_to(self, text: str) -> str:
        new = text[self._told :]
        self._told = max(self._told, len(text))
        return new

    def _keep(self, context: list[int]) -> None:
        """Only `context`, which is told, goes on being looked at."""
        self._window = context
        self._num_context = len(context)
        self._told = len(self._tokenizer.decode(context))

    def _shortened(self, text: str) -> str:
        """Bytes that are no text: cut the window where that changes nothing."""
        for end in range(len(self._window) - _UNFINISHED, self._num_context, -1):
            head, tail = self._window[:end], self._window[end:]
            start = self._tokenizer.decode(head)
            if start + self._tokenizer.decode(tail) == text and len(start) >= self._told:
                new = start[self._told :]
                self._window, self._num_context, self._told = tail, 0, 0
                return new
        return ""


class StopFinder:
    """Passes text on until a stop string is complete; holds back only what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.is_found = False

    def add(self, text: str) -> str:
        """The text that may be shown now; without the stop string and what follows it."""
        if not self._stops:
            return text
        text = self._held + text
        # The string that is complete first wins, however the text was cut into pieces.
        ends = [(text.index(stop) + len(stop), text.index(stop)) for stop in self._stops if stop in text]
        if ends:
            self.is_found, self._held = True, ""
            return text[: min(ends)[1]]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
