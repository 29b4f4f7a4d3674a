"""Reads an answer that must call tools: the arguments of each call as they come, before the call is complete."""

import json
import re
from collections.abc import Collection
from secrets import token_hex
from typing import NamedTuple


class CallPart(NamedTuple):
    """The next piece of a call.

    Attributes:
        number: of the call in its answer, from 0.
        arguments: text that follows that of the earlier parts.
        id: of the call; only in its first part.
        name: of the tool; only in the call's first part.
    """

    number: int
    arguments: str = ""
    id: str = ""
    name: str = ""


class ForcedCalls:
    """Takes the calls out of an answer that follows `tool_forms.call_grammar`, in whichever form."""

    def __init__(self, names: Collection[str]) -> None:
        """Nothing said yet; `names` are those of the tools."""
        known = "|".join(re.escape(json.dumps(name)) for name in names)
        self._head = re.compile(rf'\{{"name": ({known}), "(?:arguments|parameters)": ')
        self._arguments: _ObjectEnd | None = None
        self._held = ""
        self.num_found = 0

    def add(self, text: str) -> list[CallPart]:
        """What the next piece of the answer adds to its calls."""
        self._held += text
        parts: list[CallPart] = []
        while self._held:
            if self._arguments is None:
                if not (head := self._head.search(self._held)):
                    break
                self._held = self._held[head.end() :]
                parts.append(self._begun(json.loads(head[1])))
            else:
                parts.append(self._more(self._arguments))
        return parts

    def rest(self) -> str:
        """When no more text comes: the answer, if it called nothing."""
        return "" if self.num_found else self._held

    def _begun(self, name: str) -> CallPart:
        self._arguments = _ObjectEnd()
        self.num_found += 1
        return CallPart(self.num_found - 1, id=f"call_{token_hex(12)}", name=name)

    def _more(self, arguments: "_ObjectEnd") -> CallPart:
        size = arguments.find(self._held)
        said, self._held = self._held[:size], self._held[size:]
        if arguments.is_found:
            self._arguments = None
        return CallPart(self.num_found - 1, said)


class _ObjectEnd:
    """Looks for the end of a JSON object in its pieces."""

    def __init__(self) -> None:
        self._depth, self._is_in_string, self._is_escaped = 0, False, False
        self.is_found = False

    def find(self, piece: str) -> int:
        """How much of the piece is the object's."""
        for place, sign in enumerate(piece, start=1):
            self._see(sign)
            if self.is_found:
                return place
        return len(piece)

    def _see(self, sign: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif self._is_in_string:
            self._is_escaped, self._is_in_string = sign == "\\", sign != '"'
        elif sign == '"':
            self._is_in_string = True
        elif sign in "{[":
            self._depth += 1
        elif sign in "}]":
            self._depth -= 1
            self.is_found = self._depth == 0
