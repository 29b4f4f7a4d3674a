"""The sampling options that `generate` and `chat` share, and the answer as it streams."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, NamedTuple

import typer

from fettle.cli.installation import Installation
from fettle.types.generation import GenerateRequest, SamplingParams

MaxTokens = Annotated[int | None, typer.Option(min=1, help="Tokens to make at most; else until the context is full.")]
Temperature = Annotated[float, typer.Option(min=0, max=2, help="0 always takes the likeliest token.")]
TopP = Annotated[float, typer.Option(help="Only the likeliest tokens that together have this probability.")]
TopK = Annotated[int, typer.Option(min=0, help="Only the likeliest K tokens; 0 means all.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same answer.")]
Stop = Annotated[list[str] | None, typer.Option(help="A text that ends the answer; may be repeated.")]


class Answer(NamedTuple):
    """A whole answer."""

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int


def sampling_params(*, stop: Sequence[str] | None, **values: Any) -> SamplingParams:
    """The checked parameters.

    Raises:
        InvalidInput: some are out of bounds; all of them are named.
    """
    return SamplingParams.checked({**values, "stop": tuple(stop or ())})


async def answered(platform: Installation, request: GenerateRequest, on_text: Callable[[str], None]) -> Answer:
    """The answer to a request with one choice; its pieces go to `on_text` as they are made."""
    texts, last = [], None
    async with aclosing(platform.engines.generate(request)) as chunks:
        async for chunk in chunks:
            texts.append(chunk.text)
            on_text(chunk.text)
            last = chunk
    assert last is not None, "an engine ends every answer with a chunk that says why"
    return Answer("".join(texts), last.finish_reason, last.prompt_tokens, last.completion_tokens)
