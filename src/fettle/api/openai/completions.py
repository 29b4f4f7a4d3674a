"""POST /v1/completions."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from fettle.api.backend import Chunks, backend_of
from fettle.api.middleware import body_of
from fettle.api.openai.answers import Answer, Choice, Usage, collected, completion_logprobs
from fettle.api.openai.shapes import CompletionRequest, parsed, schema
from fettle.api.permissions import needs
from fettle.api.streaming import STREAMS, EventStream, encode, json_response, until_gone
from fettle.types.generation import GenerateChunk

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.post(
    "/completions", openapi_extra=schema(CompletionRequest), responses=STREAMS, dependencies=[needs("models:use")]
)
async def create(request: Request) -> Response:
    """Continue texts."""
    asked = parsed(CompletionRequest, await body_of(request))
    chunks = backend_of(request).generate(asked.generate_requests())
    if asked.stream:
        return await EventStream.begun(request.receive, completion_events(asked, chunks))
    return json_response(await until_gone(request.receive, completion_body(asked, chunks)))


async def completion_body(asked: CompletionRequest, chunks: Chunks) -> bytes:
    """The whole answer; the choices of the first prompt come first."""
    usage = Usage(only_prompts=asked.only_scores)
    choices = await collected(chunks, usage)
    told = [_choice(asked, prompt, index, choice, None)[0] for (prompt, index), choice in choices.items()]
    return _answer(asked).body(told, usage)


async def completion_events(asked: CompletionRequest, chunks: Chunks) -> AsyncGenerator[bytes, None]:
    """The answer as a stream's events."""
    usage, answer = Usage(only_prompts=asked.only_scores), _answer(asked)
    offsets: dict[tuple[int, int], int] = {}
    before, after = answer.frame(wants_usage=asked.wants_usage)
    async with aclosing(chunks):
        async for prompt, chunk in chunks:
            usage.see(prompt, chunk)
            place = (prompt, chunk.index)
            choice, offsets[place] = _choice(asked, prompt, chunk.index, chunk, offsets.get(place))
            if choice["finish_reason"] or choice["text"] or choice["logprobs"]:
                yield before + encode(choice) + after
    if asked.wants_usage:
        yield answer.usage_event(usage)


def _answer(asked: CompletionRequest) -> Answer:
    return Answer("cmpl", asked.model, kind="text_completion", chunk_kind="text_completion")


def _choice(
    asked: CompletionRequest, prompt: int, index: int, said: Choice | GenerateChunk, offset: int | None
) -> tuple[dict[str, Any], int]:
    """A choice or the next part of one, and where its text ends.

    Args:
        offset: where the text begins; None at the beginning of the choice.
    """
    texts = [] if asked.only_scores else [said.text]
    logprobs = [] if asked.only_scores else list(said.logprobs)
    if asked.echo and offset is None:
        given = asked.prompt[prompt]
        texts.insert(0, given if isinstance(given, str) else "".join(one.token for one in said.prompt_logprobs))
        logprobs = [*said.prompt_logprobs, *logprobs]
    told, end = completion_logprobs(logprobs, offset or 0)
    choice = {
        "index": prompt * asked.num_choices + index,
        "text": "".join(texts),
        "logprobs": told if asked.logprobs is not None and logprobs else None,
        "finish_reason": said.finish_reason,
    }
    return choice, end
