"""What every request gets: an id, a limit to its body, an answer even to bugs, a count."""

import logging
import re
import time
from collections.abc import AsyncGenerator
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fettle.api.errors import bug, error_response
from fettle.api.metrics import Meters
from fettle.errors import TooLarge
from fettle.types.ids import new_id

log = logging.getLogger(__name__)
_GIVEN_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)


class Envelope:
    """Wraps the whole application (plain ASGI: streams pass through untouched)."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        """The envelope of `app`."""
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, time.perf_counter()
        request_id = scope["request_id"] = _request_id(scope)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            status = 499  # as nginx counts clients that did not wait
        except Exception as error:  # noqa: BLE001 - the last place: what nobody expected becomes a 500
            answer = error_response(bug(error))
            if not status:
                await answer(scope, receive, sending)
        self._meters.http.labels(_route(scope), status).inc()
        told = {"request_id": request_id, "status": status, "seconds": round(time.perf_counter() - began, 4)}
        # Quoted: a line break in a path must not begin a line. Without the query, as it may hold secrets.
        log.info("%s %s", scope["method"], quote(scope["path"]), extra=told)


async def body_of(request: Request) -> bytes:
    """The request's body.

    Raises:
        TooLarge: it is longer than the server accepts; the rest is not read.
    """
    body = bytearray()
    async for part in parts_of(request, request.app.state.max_body_bytes, "Send fewer or shorter prompts at once."):
        body += part
    return bytes(body)


async def parts_of(request: Request, limit: int, hint: str) -> AsyncGenerator[bytes, None]:
    """The request's body as it comes, up to `limit` bytes.

    Raises:
        TooLarge: it is longer; the rest is not read. `hint` says what to do.
    """
    too_large = TooLarge(f"the request's body is larger than {limit} bytes", hint=hint)
    told, num_bytes = request.headers.get("content-length", ""), 0
    if told.isdecimal() and int(told) > limit:
        raise too_large
    async for part in request.stream():
        num_bytes += len(part)
        if num_bytes > limit:
            raise too_large
        yield part


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _GIVEN_ID.fullmatch(given) else new_id("req")


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "none")
