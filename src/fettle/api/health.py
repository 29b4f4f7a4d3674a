"""Whether the server lives, whether it can answer, and what it counts."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from fettle.api.backend import backend_of
from fettle.api.permissions import needs
from fettle.api.streaming import encode

open_router, router = APIRouter(), APIRouter()


@open_router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process answers; asks nothing of the engines."""
    return {"status": "ok"}


@open_router.get("/readyz")
async def readyz(request: Request) -> Response:
    """200 when every engine that was asked for is loaded, else 503."""
    states = backend_of(request).platform.engines.states()
    is_ready = all(state == "ready" for state in states.values())
    body = encode({"status": "ready" if is_ready else "not ready", "engines": states})
    return Response(body, 200 if is_ready else 503, media_type="application/json")


@router.get("/metrics", dependencies=[needs("metrics:read")])
async def metrics(request: Request) -> Response:
    """All counters, as Prometheus reads them."""
    return Response(await backend_of(request).metrics_page(), media_type=CONTENT_TYPE_LATEST)
