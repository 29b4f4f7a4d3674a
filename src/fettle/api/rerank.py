"""POST /v1/rerank and /rerank, as vLLM, Jina and Cohere have it.

What ranks is a sentence encoder: a document's score is the cosine of the angle between its vector and the query's. No
model reads query and document together, as a cross-encoder would.
"""

from secrets import token_hex
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field
from starlette.responses import Response

from fettle.api.backend import Backend, backend_of
from fettle.api.middleware import body_of
from fettle.api.openai.embeddings import MAX_INPUTS
from fettle.api.openai.shapes import Ignored, only, parsed, schema
from fettle.api.permissions import needs
from fettle.api.streaming import encode, json_response, until_gone
from fettle.types.encoding import Encoded, EncodeRequest
from fettle.types.record import Record

router = APIRouter(tags=["vLLM"])
# The query is one more.
MAX_DOCUMENTS = MAX_INPUTS - 1


def _documents(value: Any) -> Any:
    """The documents as texts; they may come as objects with a `text`."""
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of one text or more")
    texts = [one.get("text") if isinstance(one, dict) and one.keys() == {"text"} else one for one in value]
    wrong = [place for place, one in enumerate(texts) if not isinstance(one, str) or not one.strip()]
    if wrong:
        places = ", ".join(map(str, wrong[:20]))
        raise ValueError(f"documents {places}: each is a text, or an object {{'text': '...'}}, and not empty")
    return tuple(texts)


def _query(value: str) -> str:
    if not value.strip():
        raise ValueError("expected a text")
    return value


class RerankRequest(Record):
    """The body of POST /v1/rerank."""

    model: str = Field(min_length=1, max_length=512)
    query: Annotated[str, AfterValidator(_query)]
    documents: Annotated[Annotated[tuple[str, ...], Field(max_length=MAX_DOCUMENTS)], BeforeValidator(_documents)]
    # 0 is vLLM's way to say all.
    top_n: int | None = Field(default=None, ge=0)
    return_documents: bool | None = None
    rank_fields: Annotated[Any, only()] = None
    max_chunks_per_doc: Annotated[Any, only()] = None
    max_tokens_per_doc: Annotated[Any, only()] = None
    truncate_prompt_tokens: Annotated[Any, only()] = None
    user: Ignored = None


@router.post("/v1/rerank", openapi_extra=schema(RerankRequest), dependencies=[needs("models:use")])
@router.post(
    "/rerank",
    openapi_extra=schema(RerankRequest),
    include_in_schema=False,
    dependencies=[needs("models:use")],
)
async def create(request: Request) -> Response:
    """Order texts by how near they are to a query, by the cosine of their vectors."""
    asked = parsed(RerankRequest, await body_of(request))
    return json_response(await until_gone(request.receive, rerank_body(asked, backend_of(request))))


async def rerank_body(asked: RerankRequest, backend: Backend) -> bytes:
    """The whole answer."""
    # The query last: when an input is at fault, its number is that of the document.
    inputs = (*asked.documents, asked.query)
    encoded = await backend.encode(EncodeRequest(model=asked.model, inputs=inputs, task="embed"))
    scores = cosines(encoded)
    # Stable: of equals the one that came first stays first.
    order = np.argsort(-scores, kind="stable")[: asked.top_n or None]
    count = encoded.prompt_tokens
    return encode(
        {
            "id": f"rerank-{token_hex(16)}",
            "model": asked.model,
            "usage": {"prompt_tokens": count, "total_tokens": count},
            "results": [_result(asked, int(place), float(scores[place])) for place in order],
        }
    )


def cosines(encoded: Encoded) -> NDArray[np.float32]:
    """The cosine of each vector with the last one, -1 to 1; the vectors have length 1."""
    vectors_NC = np.frombuffer(b"".join(encoded.values), "<f4").reshape(len(encoded.values), -1)
    cosines_N: NDArray[np.float32] = vectors_NC[:-1] @ vectors_NC[-1]
    return cosines_N


def _result(asked: RerankRequest, place: int, score: float) -> dict[str, Any]:
    result: dict[str, Any] = {"index": place, "relevance_score": score}
    return result if asked.return_documents is False else {**result, "document": {"text": asked.documents[place]}}
