"""An engine without a model: each answer counts up from its prompt; for tests of what stands around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle.errors import FettleError, InvalidInput
from fettle.types.generation import GenerateChunk, GenerateRequest
from fettle.types.tokens import TokenizeRequest


@dataclass
class _Choice:
    request_id: str
    index: int
    adapter: str | None
    prompt: Sequence[int]
    max_tokens: int
    made: int = 0

    def failed(self) -> GenerateChunk:
        self.made = self.max_tokens
        return GenerateChunk(
            request_id=self.request_id,
            index=self.index,
            finish_reason="abort",
            error_code="storage_failed",
            error="this choice failed",
        )

    def step(self) -> GenerateChunk:
        self.made += 1
        token = self.prompt[-1] + self.made
        return GenerateChunk(
            request_id=self.request_id,
            index=self.index,
            text=f"{self.adapter or ''} {token}",
            token_ids=(token,),
            finish_reason="length" if self.made == self.max_tokens else None,
            prompt_tokens=len(self.prompt),
            completion_tokens=self.made,
        )


class CountingEngine:
    """As `fettle.serving.Engine` for a worker.

    Attributes:
        fails: raised by the next step, once.
        failing_index: choices with this index end with an error in their first step.
        adapters: name -> folder of what is loaded.
    """

    def __init__(self) -> None:
        """An engine without work."""
        self._choices: list[_Choice] = []
        self.fails: Exception | None = None
        self.failing_index: int | None = None
        self.adapters: dict[str, Path] = {}

    @property
    def max_length(self) -> int:
        """As much as `max_tokens` is when nobody gives it."""
        return 1_000_000

    @property
    def has_work(self) -> bool:
        """Whether something is to be counted."""
        return bool(self._choices)

    def add(self, request_id: str, request: GenerateRequest, *, adapter: str | None, index: int) -> None:
        """Queue a choice."""
        if adapter is not None and adapter not in self.adapters:
            raise InvalidInput(f"no adapter {adapter!r}")
        assert request.token_ids
        most = request.sampling.max_tokens or self.max_length
        self._choices.append(_Choice(request_id, index, adapter, request.token_ids, most))

    def abort(self, request_id: str) -> None:
        """Forget a request."""
        self._choices = [choice for choice in self._choices if choice.request_id != request_id]

    def step(self) -> list[GenerateChunk]:
        """The next number of every choice."""
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        chunks = [choice.failed() if choice.index == self.failing_index else choice.step() for choice in self._choices]
        self._choices = [choice for choice in self._choices if choice.made < choice.max_tokens]
        return chunks

    def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter; its folder must exist."""
        if not folder.is_dir():
            raise FettleError(f"no folder {folder}")
        self.adapters[name] = folder

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter."""
        del self.adapters[name]

    def stats(self) -> dict[str, Any]:
        """The number of choices in work."""
        return {"running": len(self._choices)}


class PlainPrompts:
    """As `fettle.workers.prompts.Prompts`, with the code points of the text as its tokens."""

    vocab_size = 0x110000

    def tokens(self, request: TokenizeRequest, adapter: str | None) -> list[int]:
        """The code points of the prompt."""
        return [ord(letter) for letter in request.text or "".join(turn.content for turn in request.messages or ())]

    def token_text(self, token_id: int) -> str:
        """The letter of a code point."""
        return chr(token_id)

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of code points."""
        return "".join(map(chr, token_ids))

    def tokenized(self, request: GenerateRequest, adapter: str | None) -> GenerateRequest:
        """The request with tokens."""
        text = request.text or "".join(message.content for message in request.messages or ())
        tokens = request.token_ids or tuple(map(ord, text))
        return request.model_copy(update={"token_ids": tokens, "text": None, "messages": None})

    def add_adapter(self, name: str, folder: Path) -> None:
        """Nothing to learn."""

    def remove_adapter(self, name: str) -> None:
        """Nothing to forget."""
