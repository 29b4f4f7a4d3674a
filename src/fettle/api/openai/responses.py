"""/v1/responses: answers that can be kept, and conversations that go on behind them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from fettle.api.backend import Backend, Chunks, backend_of
from fettle.api.errors import bug
from fettle.api.middleware import body_of
from fettle.api.openai.pages import page
from fettle.api.openai.responses_answers import EventWriter, ResponseAnswer
from fettle.api.openai.responses_shapes import ResponseRequest, read_items
from fettle.api.openai.shapes import parsed, schema
from fettle.api.openai.tools import stream_reader
from fettle.api.permissions import needs
from fettle.api.streaming import STREAMS, EventStream, encode, json_response, until_gone
from fettle.errors import FettleError, InvalidInput, NotFound
from fettle.services.responses import Responses
from fettle.types.generation import GenerateRequest
from fettle.types.tokens import TokenizeRequest

router = APIRouter(prefix="/v1/responses", tags=["OpenAI"])


@router.post("", openapi_extra=schema(ResponseRequest), responses=STREAMS, dependencies=[needs("models:use")])
async def create(request: Request) -> Response:
    """Answer a text or a conversation."""
    asked = parsed(ResponseRequest, await body_of(request))
    backend = backend_of(request)
    generated, answer = await begun(asked, backend)
    chunks = backend.generate([generated])
    if asked.stream:
        return await EventStream.begun(request.receive, response_events(answer, chunks, backend))
    return json_response(await until_gone(request.receive, response_body(answer, chunks, backend)))


@router.post("/input_tokens", openapi_extra=schema(ResponseRequest), dependencies=[needs("models:use")])
async def count_input_tokens(request: Request) -> Response:
    """Tell how many tokens a request has before its answer; the body is that of a request for an answer."""
    asked = parsed(ResponseRequest, await body_of(request))
    generated, _ = await begun(asked, backend_of(request))
    prompt = TokenizeRequest(model=asked.model, messages=generated.messages, tools=generated.tools)
    found = await until_gone(request.receive, backend_of(request).tokenize(prompt))
    return json_response(encode({"object": "response.input_tokens", "input_tokens": len(found.token_ids)}))


@router.get("/{response_id}", dependencies=[needs("models:use")])
def retrieve(response_id: str, request: Request, stream: bool = False) -> dict[str, Any]:
    """A kept answer."""
    if stream:
        raise InvalidInput(
            "only whole answers are kept: there is nothing to stream", hint="Leave it out.", param="stream"
        )
    return _responses(request).get(response_id).answer


@router.get("/{response_id}/input_items", dependencies=[needs("models:use")])
def list_input_items(
    response_id: str,
    request: Request,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """What was new in the request that a kept answer answered, the last item first."""
    items = _responses(request).get(response_id).input_items
    found = list(items if order == "asc" else reversed(items))
    ids = [item["id"] for item in found]
    if after is not None and after not in ids:
        raise NotFound(f"there is no item {after!r} in this response", param="after")
    begin = ids.index(after) + 1 if after else 0
    return page(limit, lambda number: found[begin : begin + number], dict)


@router.delete("/{response_id}", dependencies=[needs("models:use")])
def delete(response_id: str, request: Request) -> dict[str, Any]:
    """Delete a kept answer."""
    _responses(request).delete(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


async def begun(asked: ResponseRequest, backend: Backend) -> tuple[GenerateRequest, ResponseAnswer]:
    """The request as the engine knows it, behind what was said before, and the answer of which nothing is said yet.

    Raises:
        NotFound: the answer before it is gone.
        InvalidInput: tools or calls do not fit together.
    """
    earlier = asked.previous_response_id
    told = await asyncio.to_thread(backend.platform.responses.conversation, earlier) if earlier else ()
    chat = asked.chat(read_items(told))
    generated = chat.generate_request()
    return generated, ResponseAnswer(asked, stream_reader(chat), generated.sampling)


async def response_body(answer: ResponseAnswer, chunks: Chunks, backend: Backend) -> bytes:
    """The whole answer."""
    async with aclosing(chunks):
        async for _, chunk in chunks:
            for _ in answer.add(chunk):
                pass
    await _keep(answer, backend)
    return encode(answer.told())


async def response_events(answer: ResponseAnswer, chunks: Chunks, backend: Backend) -> AsyncGenerator[bytes, None]:
    """The answer as a stream's events; what goes wrong after the first of them is told by the last."""
    writer, has_begun = EventWriter(), False
    try:
        async with aclosing(chunks):
            async for _, chunk in chunks:
                if not has_begun:
                    yield writer.written(answer.begun())
                    has_begun = True
                if told := writer.written(answer.add(chunk)):
                    yield told
        # Before the end is told: then a client may go on behind it at once.
        await _keep(answer, backend)
        yield writer.written(answer.ended())
    except Exception as error:
        if not has_begun:
            raise
        yield writer.written(answer.failed(error if isinstance(error, FettleError) else bug(error)))


async def _keep(answer: ResponseAnswer, backend: Backend) -> None:
    if answer.is_kept:
        await asyncio.to_thread(backend.platform.responses.keep, answer.stored())


def _responses(request: Request) -> Responses:
    return backend_of(request).platform.responses
