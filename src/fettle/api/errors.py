"""The one place where errors become HTTP answers, in the body that OpenAI's clients read."""

import asyncio
import logging
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fettle.api.auth import actor_of
from fettle.errors import (
    FettleError,
    Forbidden,
    InvalidInput,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    all_errors,
)
from fettle.types.access import DEFAULT_PROJECT
from fettle.types.record import Record

log = logging.getLogger(__name__)
_TYPES = {429: "rate_limit_error"}
_RETRY_AFTER_SECONDS = 1
_PATIENCE_SECONDS = 60


class ErrorTold(Record):
    """What is wrong, what was expected, and what to do."""

    message: str
    type: str
    param: str | None = Field(description="the field at fault")
    code: str


class ErrorAnswer(Record):
    """The body of every answer that is an error."""

    error: ErrorTold


def _documented() -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for code, error in sorted(all_errors().items(), key=lambda pair: (pair[1].http_status, pair[0])):
        told = found.setdefault(error.http_status, {"model": ErrorAnswer, "description": ""})
        told["description"] += f"{', ' if told['description'] else ''}`{code}`"
    return found | {"default": {"model": ErrorAnswer, "description": "any other error"}}


ERRORS = _documented()
"""The statuses that each route with a key documents: every error may come from below."""


def error_body(error: FettleError) -> dict[str, Any]:
    """What OpenAI's clients expect of an error."""
    is_model = isinstance(error, NotFound) and error.param == "model"
    return {
        "error": {
            "message": str(error),
            "type": _TYPES.get(error.http_status)
            or ("server_error" if error.http_status >= 500 else "invalid_request_error"),
            "param": error.param or None,
            "code": "model_not_found" if is_model else error.code,
        }
    }


def error_response(error: FettleError) -> Response:
    """The whole answer; its headers say whether asking again can help, so that clients do not repeat in vain."""
    headers = {"x-should-retry": "false"}
    if isinstance(error, TooManyRequests | Unavailable):
        seconds = error.retry_after_seconds if isinstance(error, TooManyRequests) else _RETRY_AFTER_SECONDS
        # Clients wait that long by themselves, if it is not longer than they have patience for.
        headers = {"x-should-retry": str(seconds <= _PATIENCE_SECONDS).lower(), "retry-after": str(seconds)}
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    body = msgspec.json.encode(error_body(error))
    return Response(body, error.http_status, headers, media_type="application/json")


def add_error_handlers(app: FastAPI) -> None:
    """Let every error that leaves a route become an answer."""
    app.add_exception_handler(FettleError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _no_route)


def bug(error: Exception) -> FettleError:
    """What a client is told of an error that nobody expected: nothing of its inside, which goes to the log."""
    log.error("unexpected error in a request", exc_info=error)
    return FettleError("the server failed on this request; that is a bug, and its log says where")


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, FettleError)
    if isinstance(error, Unauthorized | Forbidden):
        await asyncio.to_thread(_note_refusal, request, error)
    return error_response(error)


def _note_refusal(request: Request, error: FettleError) -> None:
    principal = getattr(request.state, "principal", None)
    route = f"{request.method} {request.scope['route'].path}"
    project = principal.project_id if principal else DEFAULT_PROJECT
    request.app.state.platform.refusals.note(actor_of(request, principal), route, error, project)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"'{fault['loc'][-1]}' is {fault.get('input')!r}: {fault['msg']}" for fault in error.errors()]
    return error_response(InvalidInput("\n".join(faults), param=str(error.errors()[0]["loc"][-1])))


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = FettleError(f"{request.method} {request.url.path}: {error.detail}")
    if error.status_code == 404:
        told = NotFound(
            f"no such route: {request.method} {request.url.path}", hint="GET /openapi.json lists the routes."
        )
    told.http_status = error.status_code
    if error.status_code == 405:
        told.code = "method_not_allowed"
    return error_response(told)
