"""What OpenAI's clients receive: whole answers, and streams written as bytes, cheap per token."""

import time
from collections.abc import Iterable
from contextlib import aclosing
from importlib.metadata import version
from secrets import token_hex
from typing import Any

from fettle.api.backend import Chunks
from fettle.api.streaming import encode, event
from fettle.types.generation import GenerateChunk, TokenLogprob

FINGERPRINT = f"fettle-{version('fettle-ai')}"


class Usage:
    """Counts the tokens of a request: each prompt once, each choice's answer."""

    def __init__(self, *, only_prompts: bool = False) -> None:
        """Nothing counted yet; `only_prompts` when the client wants no answers."""
        self._only_prompts = only_prompts
        self._prompts: dict[int, int] = {}
        self._answers: dict[tuple[int, int], int] = {}
        self._cached: dict[int, int] = {}

    def see(self, prompt: int, chunk: GenerateChunk) -> None:
        """Take in a chunk; its counts are of all its choice's tokens so far."""
        self._prompts[prompt] = max(chunk.prompt_tokens, self._prompts.get(prompt, 0))
        # A prompt counts once, so what its choices share among themselves has been computed for it.
        self._cached[prompt] = min(chunk.cached_tokens, self._cached.get(prompt, chunk.cached_tokens))
        if self._only_prompts:
            return
        place = (prompt, chunk.index)
        self._answers[place] = max(chunk.completion_tokens, self._answers.get(place, 0))

    def told(self) -> dict[str, Any]:
        """The `usage` object."""
        prompt, completion = sum(self._prompts.values()), sum(self._answers.values())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": sum(self._cached.values())},
        }


class Choice:
    """Everything that one choice's chunks said."""

    def __init__(self) -> None:
        """Nothing said yet."""
        self._texts: list[str] = []
        self.logprobs: list[TokenLogprob] = []
        self.prompt_logprobs: list[TokenLogprob] = []
        self.finish_reason: str | None = None

    @property
    def text(self) -> str:
        """The whole text so far."""
        return "".join(self._texts)

    def add(self, chunk: GenerateChunk) -> None:
        """Take in the next chunk."""
        self._texts.append(chunk.text)
        self.logprobs += chunk.logprobs
        self.prompt_logprobs += chunk.prompt_logprobs
        self.finish_reason = chunk.finish_reason


class Answer:
    """What the answers of one request have in common: id, time, model."""

    def __init__(self, prefix: str, model: str, *, kind: str, chunk_kind: str) -> None:
        """The answer to one request.

        Args:
            prefix: of the id, "chatcmpl" or "cmpl".
            model: as the client named it.
            kind: `object` of the whole answer.
            chunk_kind: `object` of a stream's events.
        """
        self._shared = {"id": f"{prefix}-{token_hex(12)}", "created": int(time.time()), "model": model}
        self._shared["system_fingerprint"] = FINGERPRINT
        self._kind, self._chunk_kind = kind, chunk_kind

    def body(self, choices: list[dict[str, Any]], usage: Usage) -> bytes:
        """The whole answer as JSON."""
        return encode({**self._shared, "object": self._kind, "choices": choices, "usage": usage.told()})

    def frame(self, *, wants_usage: bool) -> tuple[bytes, bytes]:
        """What stands before and after the choice in each event of a stream, encoded once."""
        head = encode({**self._shared, "object": self._chunk_kind})
        return b"data: " + head[:-1] + b',"choices":[', b'],"usage":null}\n\n' if wants_usage else b"]}\n\n"

    def usage_event(self, usage: Usage) -> bytes:
        """A stream's last event when the client wants the number of tokens."""
        return event({**self._shared, "object": self._chunk_kind, "choices": [], "usage": usage.told()})


async def collected(chunks: Chunks, usage: Usage) -> dict[tuple[int, int], Choice]:
    """All choices of all prompts, in order."""
    choices: dict[tuple[int, int], Choice] = {}
    async with aclosing(chunks):
        async for prompt, chunk in chunks:
            usage.see(prompt, chunk)
            choices.setdefault((prompt, chunk.index), Choice()).add(chunk)
    return dict(sorted(choices.items()))


def chat_logprobs(logprobs: Iterable[TokenLogprob]) -> dict[str, Any]:
    """The `logprobs` object of a chat choice."""
    return {"content": [_chat_logprob(one) for one in logprobs], "refusal": None}


def _chat_logprob(one: TokenLogprob) -> dict[str, Any]:
    top = [_spelled(token, logprob) for _, token, logprob in one.top]
    return {**_spelled(one.token, one.logprob), "top_logprobs": top}


def _spelled(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "bytes": list(token.encode(errors="replace")), "logprob": logprob}


def _by_token(one: TokenLogprob) -> dict[str, float]:
    """The alternatives by their text; of tokens that look alike (parts of a character) the likeliest."""
    return {token: logprob for _, token, logprob in reversed(one.top)}


def completion_logprobs(logprobs: Iterable[TokenLogprob], offset: int) -> tuple[dict[str, Any], int]:
    """The `logprobs` object of a completion's choice, and where its text ends; `offset` is where it begins."""
    tokens, offsets = list(logprobs), []
    for one in tokens:
        offsets.append(offset)
        offset += len(one.token)
    told = {
        "tokens": [one.token for one in tokens],
        # JSON has no NaN: it is encoded as null.
        "token_logprobs": [one.logprob for one in tokens],
        "top_logprobs": [_by_token(one) or None for one in tokens],
        "text_offset": offsets,
    }
    return told, offset
