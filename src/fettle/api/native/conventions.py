"""What all native routes have in common: pages, bodies that are checked, keys for repetitions."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Header, Query, Request
from pydantic import Field
from starlette.responses import Response

from fettle.api.backend import backend_of
from fettle.api.middleware import body_of
from fettle.api.openai.shapes import parsed
from fettle.errors import FettleError
from fettle.services.workspace import Workspace
from fettle.types.record import Record

T = TypeVar("T")
RecordT = TypeVar("RecordT", bound=Record)
After = Annotated[str | None, Query(description="id of the last one of the page before")]
Limit = Annotated[int, Query(ge=1, le=100, description="how many at most")]
RepeatKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="sent again with the same key within a day, the request does nothing, and has the same answer",
    ),
]


class Page(Record, Generic[T]):
    """Some of the things that there are."""

    data: list[T]
    next: str | None = Field(description="what to send as `after` to get the next page; null: this is the last one")


def workspace_of(request: Request) -> Workspace:
    """The services of the project that a request comes from."""
    found = backend_of(request).platform
    assert isinstance(found, Workspace), "native routes need a whole platform"
    return found


def page(found: Sequence[T], limit: int, id_of: Callable[[T], str]) -> Page[T]:
    """A page of at most `limit` of what was found; one more than that says that there is a next one."""
    data = list(found[:limit])
    return Page(data=data, next=id_of(data[-1]) if len(found) > limit else None)


async def asked(kind: type[RecordT], request: Request) -> RecordT:
    """The checked body of a request.

    Raises:
        InvalidInput: with every fault.
        TooLarge: it is longer than the server accepts.
    """
    return parsed(kind, await body_of(request))


async def once(
    request: Request, key: str | None, body: Record | None, work: Callable[[], Awaitable[Record]], status: int = 200
) -> Response:
    """The answer of `work`, which is done only once for each key.

    Args:
        request: names the route and the project.
        key: the client's own; None does the work each time.
        body: what is asked.
        work: does it.
        status: of the answer.

    Raises:
        Conflict: another request was sent with the key, or the same is not done yet.
    """
    if key is None:
        return _told((await work()).model_dump_json(), status)
    kept = workspace_of(request).kept_answers
    begun = await asyncio.to_thread(kept.begin, key, _digest(request, body))
    if begun.status is not None:
        return _told(begun.body, begun.status, is_repeated=True)
    try:
        answer = (await work()).model_dump_json()
    except FettleError:
        await asyncio.to_thread(kept.forget, begun)
        raise
    await asyncio.to_thread(kept.finish, begun, status, answer)
    return _told(answer, status)


def _told(body: str, status: int, *, is_repeated: bool = False) -> Response:
    headers = {"idempotent-replayed": "true"} if is_repeated else None
    return Response(body, status, headers, media_type="application/json")


def _digest(request: Request, body: Record | None) -> str:
    told = body.model_dump_json() if body else ""
    return hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n{told}".encode()).hexdigest()
