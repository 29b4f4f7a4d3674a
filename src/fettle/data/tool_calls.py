"""Finds calls of tools in an answer, as its text comes."""

import json
from collections.abc import Collection
from secrets import token_hex
from typing import Any

from fettle.data.tool_forms import CLOSE, OPEN
from fettle.types.generation import ToolCall

_json = json.JSONDecoder()
Found = tuple[str, list[ToolCall]]


class CallFinder:
    """Takes the calls out of one answer; what calls no known tool stays text.

    A call is `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` anywhere in the text, or the whole text is such
    an object or a list of them; "parameters" may stand for "arguments". Text is passed on as soon as it is certain that
    it is part of no call: an answer that begins as JSON does waits for its end.
    """

    def __init__(self, names: Collection[str], *, most: int | None = None) -> None:
        """Nothing said yet.

        Args:
            names: of the tools.
            most: calls to take; later ones are dropped.
        """
        self._names, self._most = frozenset(names), most
        self._held = ""
        self._has_text, self._is_behind_call = False, False
        self.num_found = 0

    def add(self, text: str) -> Found:
        """The text that may be shown now, and the calls that are complete."""
        self._held += text
        if not self._has_text and not self.num_found and self._held.lstrip()[:1] in ("", "{", "["):
            return "", []
        return self._taken(is_last=False)

    def rest(self) -> Found:
        """What was held back, when no more text comes."""
        calls = [] if self._has_text or self.num_found else self._bare()
        if not calls:
            return self._taken(is_last=True)
        self._held = ""
        return "", self._counted(calls)

    def _taken(self, *, is_last: bool) -> Found:
        texts, calls = [], []
        while (start := self._held.find(OPEN)) >= 0:
            call, end = self._call_at(start + len(OPEN), is_last=is_last)
            if call is None and not is_last:
                break
            # A mark without a call behind it is text.
            end = end if call else start + len(OPEN)
            texts.append(self._shown(self._held[: start if call else end], is_before_call=call is not None))
            calls += [call] if call else []
            self._held = self._held[end:]
        size = start if start >= 0 else len(self._held) - (0 if is_last else _begun(self._held))
        texts.append(self._shown(self._held[:size], is_before_call=False))
        self._held = self._held[size:]
        return "".join(texts), self._counted(calls)

    def _call_at(self, place: int, *, is_last: bool) -> tuple[ToolCall | None, int]:
        """The call that begins here, and where the text goes on; None if it is none, or is not complete yet."""
        close = self._held.find(CLOSE, place)
        if close < 0 and not is_last:
            return None, place
        start = place + len(self._held[place:]) - len(self._held[place:].lstrip())
        try:
            value, end = _json.raw_decode(self._held, start)
        except (ValueError, RecursionError):
            return None, place
        rest = self._held[end:].lstrip()
        if rest.startswith(CLOSE):
            return self._call(value), len(self._held) - len(rest) + len(CLOSE)
        # The mark that was found is part of an argument; or the answer ended before its last mark.
        return (self._call(value) if is_last else None), end

    def _bare(self) -> list[ToolCall]:
        """The calls that are all there is; none if anything else is in it."""
        try:
            value = json.loads(self._held)
        except (ValueError, RecursionError):
            return []
        calls = [self._call(one) for one in (value if isinstance(value, list) else [value])]
        return [call for call in calls if call] if all(calls) else []

    def _call(self, value: Any) -> ToolCall | None:
        if not isinstance(value, dict):
            return None
        name, arguments = value.get("name"), value.get("arguments", value.get("parameters"))
        if not isinstance(name, str) or name not in self._names or not isinstance(arguments, dict):
            return None
        written = json.dumps(arguments, ensure_ascii=False)
        return ToolCall(id=f"call_{token_hex(12)}", name=name, arguments=written)

    def _shown(self, text: str, *, is_before_call: bool) -> str:
        """The text, without the blanks around calls."""
        is_blank = not text.strip()
        if is_blank and (is_before_call or self._is_behind_call):
            text = ""
        self._has_text = self._has_text or bool(text)
        self._is_behind_call = is_before_call or (self._is_behind_call and is_blank)
        return text

    def _counted(self, calls: list[ToolCall]) -> list[ToolCall]:
        if self._most is not None:
            calls = calls[: self._most - self.num_found]
        self.num_found += len(calls)
        return calls


def _begun(text: str) -> int:
    """Length of the longest end of `text` that begins a call."""
    return next((size for size in range(min(len(text), len(OPEN) - 1), 0, -1) if OPEN.startswith(text[-size:])), 0)
