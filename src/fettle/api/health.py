"""Whether the server lives, whether it can answer, what it counts, and what can be asked of it."""

from collections import Counter
from typing import Any, Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from starlette.responses import Response

from fettle.api.backend import backend_of
from fettle.api.permissions import needs
from fettle.types.record import Record

open_router, router = APIRouter(), APIRouter()


class Health(Record):
    """The answer of GET /healthz."""

    status: Literal["ok"] = "ok"


class Readiness(Record):
    """The answer of GET /readyz."""

    status: Literal["ready", "not ready"]
    engines: dict[str, int] = Field(description="how many engines are in each state; their names are told by /metrics")


@open_router.get("/healthz")
async def healthz() -> Health:
    """Whether the process answers; asks nothing of the engines."""
    return Health()


@open_router.get("/readyz", responses={503: {"model": Readiness, "description": "not ready"}})
async def readyz(request: Request, response: Response) -> Readiness:
    """200 when every engine that was asked for is loaded, else 503."""
    # Counts, not names: whoever has no key learns nothing of what is served.
    states = Counter(backend_of(request).platform.engines.states().values())
    is_ready = states.keys() <= {"ready"}
    response.status_code = 200 if is_ready else 503
    return Readiness(status="ready" if is_ready else "not ready", engines=dict(states))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=[needs("metrics:read")],
)
async def metrics(request: Request) -> Response:
    """All counters, as Prometheus reads them."""
    return Response(await backend_of(request).metrics_page(), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json", dependencies=[needs("models:read")], include_in_schema=False)
def document(request: Request) -> dict[str, Any]:
    """Every route, as programs read it."""
    found: dict[str, Any] = request.app.openapi()
    return found
