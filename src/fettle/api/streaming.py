"""Server-sent events, and work that ends when its client has gone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Self, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fettle.api.errors import bug, error_body
from fettle.errors import FettleError

T = TypeVar("T")
DONE = b"data: [DONE]\n\n"
encode = msgspec.json.Encoder().encode
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "description": "JSON; `[DONE]` at the end"},
    },
}
EVENTS: dict[str, Any] = {"text/event-stream": {"itemSchema": _EVENT}}
STREAMS: dict[int | str, dict[str, Any]] = {200: {"content": EVENTS}}
"""What the document says of a route that answers with events when it is asked to."""


def event(value: Any) -> bytes:
    """One server-sent event that holds `value` as JSON."""
    return b"data: " + encode(value) + b"\n\n"


def json_response(body: bytes) -> Response:
    """An ordinary answer of JSON that is already encoded."""
    return Response(body, media_type="application/json")


async def until_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client hangs up before it is done.

    Raises:
        ClientDisconnect: it hung up.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


class EventStream(Response):
    """An answer of server-sent events; closes its source, and with it the work behind, when the client hangs up."""

    media_type = "text/event-stream"

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        """A stream of whole events as bytes; an error that `rest` raises becomes the last one."""
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._first, self._rest = first, rest

    @classmethod
    async def begun(cls, receive: Receive, events: AsyncGenerator[bytes, None]) -> Self:
        """The stream, once its first event is there: what goes wrong before is an ordinary answer with its status."""
        return cls(await until_gone(receive, anext(events)), events)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all events, or as many as the client takes."""
        async with aclosing(self._rest):
            with suppress(ClientDisconnect):
                await until_gone(receive, self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        async for data in told(self._rest):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def told(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events and the end mark; an error becomes an event, as the status is already sent."""
    try:
        async for data in events:
            yield data
    except FettleError as error:
        yield event(error_body(error))
    except Exception as error:  # noqa: BLE001 - the last place: what nobody expected must not leave a stream half open
        yield event(error_body(bug(error)))
    yield DONE


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
