"""POST /v1/embeddings."""

from array import array
from base64 import b64encode
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from fettle.api.backend import Backend, backend_of
from fettle.api.middleware import body_of
from fettle.api.openai.shapes import Ignored, parsed, schema
from fettle.api.permissions import needs
from fettle.api.streaming import encode, json_response, until_gone
from fettle.errors import InvalidInput
from fettle.types.encoding import Encoded, EncodeRequest
from fettle.types.record import Record

router = APIRouter(prefix="/v1", tags=["OpenAI"])
MAX_INPUTS = 2048
_FLOAT_BYTES = 4


def _inputs(value: Any) -> Any:
    """The inputs as a list, each a text or a list of token ids."""
    if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], int)):
        value = [value]
    if not isinstance(value, list) or not all(_is_input(one) for one in value):
        raise ValueError("an input is a text, a list of texts, a list of token ids, or a list of such lists")
    if not 1 <= len(value) <= MAX_INPUTS:
        raise ValueError(f"{len(value)} inputs; 1 to {MAX_INPUTS} are possible in one request")
    return value


def _is_input(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(type(token) is int and token >= 0 for token in value)
    )


Inputs = Annotated[list[Any], BeforeValidator(_inputs)]


def encode_request(model: str, inputs: list[Any], task: Literal["embed", "classify"]) -> EncodeRequest:
    """The request as the engine knows it."""
    told = tuple(one if isinstance(one, str) else tuple(one) for one in inputs)
    return EncodeRequest(model=model, inputs=told, task=task)


class EmbeddingRequest(Record):
    """The body of POST /v1/embeddings."""

    model: str = Field(min_length=1, max_length=512)
    input: Inputs
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1)
    user: Ignored = None


@router.post("/embeddings", openapi_extra=schema(EmbeddingRequest), dependencies=[needs("models:use")])
async def create(request: Request) -> Response:
    """Make a vector of length 1 of each text."""
    asked = parsed(EmbeddingRequest, await body_of(request))
    return json_response(await until_gone(request.receive, embedding_body(asked, backend_of(request))))


async def embedding_body(asked: EmbeddingRequest, backend: Backend) -> bytes:
    """The whole answer."""
    encoded = await backend.encode(encode_request(asked.model, asked.input, "embed"))
    _check_dimensions(asked, encoded)
    return encode(_body(asked, encoded))


def numbers(values: bytes) -> list[float]:
    """The float32 numbers of a text's values."""
    return array("f", values).tolist()


def _check_dimensions(asked: EmbeddingRequest, encoded: Encoded) -> None:
    size = len(encoded.values[0]) // _FLOAT_BYTES
    if asked.dimensions not in (None, size):
        raise InvalidInput(
            f"'dimensions' is {asked.dimensions}, but vectors of {asked.model!r} have {size} numbers and lose their "
            "meaning when they are cut",
            hint="Leave it out.",
            param="dimensions",
        )


def _body(asked: EmbeddingRequest, encoded: Encoded) -> dict[str, Any]:
    is_packed = asked.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": place, "embedding": b64encode(one).decode() if is_packed else numbers(one)}
        for place, one in enumerate(encoded.values)
    ]
    count = encoded.prompt_tokens
    return {
        "object": "list",
        "data": data,
        "model": asked.model,
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }
