"""POST /api/v1/compare: one conversation put to several models at once."""

import asyncio
import json
from typing import Annotated, Any, Self

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from fettle.api.backend import Backend, backend_of
from fettle.api.errors import ErrorTold, error_body
from fettle.api.native.conventions import asked
from fettle.api.openai.chat import chat_body
from fettle.api.openai.shapes import ChatRequest, only, schema
from fettle.api.permissions import needs
from fettle.api.streaming import until_gone
from fettle.errors import FettleError
from fettle.types.record import Record

router = APIRouter(tags=["Models"])
MAX_MODELS = 32
Name = Annotated[str, Field(min_length=1, max_length=512)]


class Comparison(ChatRequest):
    """The body of POST /api/v1/compare: a chat with `models` in the place of `model`."""

    models: tuple[Name, ...] = Field(min_length=1, max_length=MAX_MODELS, description="who is asked, each by any name")
    model: Annotated[str, only("")] = ""
    stream: Annotated[bool | None, only(False)] = None

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        if twice := sorted({name for name in self.models if self.models.count(name) > 1}):
            raise ValueError(f"'models' has {twice[0]!r} more than once")
        return self


class ModelAnswer(Record):
    """What one model said, or why it did not."""

    model: str = Field(description="as it was named")
    answer: dict[str, Any] | None = Field(description="a whole chat completion")
    error: ErrorTold | None


class Answers(Record):
    """What all models said, in the order in which they were named."""

    data: list[ModelAnswer]


@router.post("/compare", openapi_extra=schema(Comparison), dependencies=[needs("models:use")])
async def compare(request: Request) -> Answers:
    """Put a conversation to several models at once; those that share a base answer in one batch.

    A model that fails is told beside the others' answers; when all fail, so does the request, as the first of them did.
    """
    body, backend = await asked(Comparison, request), backend_of(request)
    return await until_gone(request.receive, _answers(body, backend))


async def _answers(body: Comparison, backend: Backend) -> Answers:
    found = await asyncio.gather(*(_answer(body, name, backend) for name in body.models))
    failed = [error for error in found if isinstance(error, FettleError)]
    if len(failed) == len(found):
        raise failed[0]
    return Answers(data=[_told(name, one) for name, one in zip(body.models, found, strict=True)])


async def _answer(body: Comparison, name: str, backend: Backend) -> dict[str, Any] | FettleError:
    one = body.model_copy(update={"model": name})
    try:
        answer: dict[str, Any] = json.loads(await chat_body(one, backend.generate([one.generate_request()])))
    except FettleError as error:
        return error
    return answer


def _told(name: str, found: dict[str, Any] | FettleError) -> ModelAnswer:
    if isinstance(found, FettleError):
        return ModelAnswer(model=name, answer=None, error=ErrorTold(**error_body(found)["error"]))
    return ModelAnswer(model=name, answer=found, error=None)
