"""What every contender's process does: load, then answer rounds of prompts. It needs only Python, anywhere."""

import json
import os
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol


class Contender(Protocol):
    """One way to serve a model."""

    def answers(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> list[list[int]]:
        """The new tokens of each prompt, greedily, each by its adapter; None is the base model for all."""

    def facts(self) -> dict[str, Any]:
        """What else it knows of itself, or of the last round."""


def serve(load: Callable[[dict[str, Any]], Contender]) -> None:
    """Answer what comes on stdin, a JSON object a line: first what to load, then rounds, until it ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    # Libraries print what they like; it goes to the log.
    os.dup2(2, 1)

    def reply(told: dict[str, Any]) -> None:
        replies.write(json.dumps(told) + "\n")

    start = perf_counter()
    contender = load(json.loads(sys.stdin.readline()))
    reply({"seconds": perf_counter() - start, "facts": contender.facts()})
    for line in sys.stdin:
        asked, start = json.loads(line), perf_counter()
        answers = contender.answers(**asked)
        reply({"seconds": perf_counter() - start, "answers": answers, "facts": contender.facts()})
