"""POST /v1/classify and /classify, as vLLM's server has it."""

import time
from secrets import token_hex
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from fettle.api.backend import backend_of
from fettle.api.middleware import body_of
from fettle.api.openai.embeddings import Inputs, encode_request, numbers
from fettle.api.openai.shapes import Ignored, parsed, schema
from fettle.api.permissions import needs
from fettle.api.streaming import encode, json_response, until_gone
from fettle.types.encoding import Encoded
from fettle.types.record import Record

router = APIRouter(tags=["vLLM"])


class ClassifyRequest(Record):
    """The body of POST /v1/classify."""

    model: str = Field(min_length=1, max_length=512)
    input: Inputs
    user: Ignored = None


@router.post("/v1/classify", openapi_extra=schema(ClassifyRequest), dependencies=[needs("models:use")])
@router.post(
    "/classify", openapi_extra=schema(ClassifyRequest), include_in_schema=False, dependencies=[needs("models:use")]
)
async def create(request: Request) -> Response:
    """Say of which class each text is, and how likely each class is."""
    asked = parsed(ClassifyRequest, await body_of(request))
    work = backend_of(request).encode(encode_request(asked.model, asked.input, "classify"))
    return json_response(encode(_body(asked, await until_gone(request.receive, work))))


def _body(asked: ClassifyRequest, encoded: Encoded) -> dict[str, Any]:
    count = encoded.prompt_tokens
    return {
        "id": f"classify-{token_hex(16)}",
        "object": "list",
        "created": int(time.time()),
        "model": asked.model,
        # Not vLLM's: what the probabilities of each choice are of, in their order.
        "labels": encoded.labels,
        "data": [_choice(place, numbers(one), encoded.labels) for place, one in enumerate(encoded.values)],
        "usage": {"prompt_tokens": count, "completion_tokens": 0, "total_tokens": count},
    }


def _choice(place: int, probs: list[float], labels: tuple[str, ...]) -> dict[str, Any]:
    return {"index": place, "label": labels[probs.index(max(probs))], "probs": probs, "num_classes": len(probs)}
