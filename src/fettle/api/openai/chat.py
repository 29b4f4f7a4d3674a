"""POST /v1/chat/completions."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from fettle.api.backend import Chunks, backend_of
from fettle.api.middleware import body_of
from fettle.api.openai.answers import Answer, Choice, Usage, chat_logprobs, collected
from fettle.api.openai.shapes import ChatRequest, parsed, schema
from fettle.api.openai.tools import CallReader, ForcedReader, Said, call_deltas, stream_reader, told_calls
from fettle.api.permissions import needs
from fettle.api.streaming import STREAMS, EventStream, encode, json_response, until_gone
from fettle.types.generation import GenerateChunk

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.post(
    "/chat/completions", openapi_extra=schema(ChatRequest), responses=STREAMS, dependencies=[needs("models:use")]
)
async def create(request: Request) -> Response:
    """Answer a conversation."""
    asked = parsed(ChatRequest, await body_of(request))
    chunks = backend_of(request).generate([asked.generate_request()])
    if asked.stream:
        return await EventStream.begun(request.receive, chat_events(asked, chunks))
    return json_response(await until_gone(request.receive, chat_body(asked, chunks)))


async def chat_body(asked: ChatRequest, chunks: Chunks) -> bytes:
    """The whole answer."""
    usage = Usage()
    choices = await collected(chunks, usage)
    told = [_choice(index, choice, asked) for (_, index), choice in choices.items()]
    return _answer(asked).body(told, usage)


async def chat_events(asked: ChatRequest, chunks: Chunks) -> AsyncGenerator[bytes, None]:
    """The answer as a stream's events."""
    usage, answer, readers = Usage(), _answer(asked), dict[int, CallReader | ForcedReader]()
    before, after = answer.frame(wants_usage=asked.wants_usage)
    async with aclosing(chunks):
        async for _, chunk in chunks:
            usage.see(0, chunk)
            is_first = chunk.index not in readers
            said = readers.setdefault(chunk.index, stream_reader(asked)).read(chunk)
            deltas = _deltas(chunk, said, is_first=is_first, wants_logprobs=bool(asked.logprobs))
            if deltas:
                yield b"".join(before + encode(delta) + after for delta in deltas)
    if asked.wants_usage:
        yield answer.usage_event(usage)


def _answer(asked: ChatRequest) -> Answer:
    return Answer("chatcmpl", asked.model, kind="chat.completion", chunk_kind="chat.completion.chunk")


def _choice(index: int, choice: Choice, asked: ChatRequest) -> dict[str, Any]:
    said = CallReader(asked).read(choice)
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    if said.calls:
        message |= {"content": said.text or None, "tool_calls": told_calls(said.calls)}
    return {
        "index": index,
        "message": message,
        "logprobs": chat_logprobs(choice.logprobs) if asked.logprobs else None,
        "finish_reason": said.finish_reason,
    }


def _deltas(chunk: GenerateChunk, said: Said, *, is_first: bool, wants_logprobs: bool) -> list[dict[str, Any]]:
    """The stream's choices for a chunk: who speaks, the text, its calls, how it ended; most often only the text."""
    deltas = []
    if is_first:
        deltas.append(_delta(chunk, {"role": "assistant", "content": "", "refusal": None}))
    if said.text or (wants_logprobs and chunk.logprobs):
        logprobs = chat_logprobs(chunk.logprobs) if wants_logprobs else None
        deltas.append(_delta(chunk, {"content": said.text}, logprobs=logprobs))
    deltas += [_delta(chunk, {"tool_calls": [call]}) for call in call_deltas(said)]
    if said.finish_reason:
        deltas.append(_delta(chunk, {}, finish_reason=said.finish_reason))
    return deltas


def _delta(chunk: GenerateChunk, delta: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"index": chunk.index, "delta": delta, "logprobs": None, "finish_reason": None, **other}
