"""/api/v1/endpoints: names under which hosting clusters serve models."""

import asyncio
from collections.abc import Callable

from fastapi import APIRouter, BackgroundTasks, Request
from starlette.responses import Response

from fettle.api.native.conventions import After, Limit, Page, RepeatKey, asked, once, page, workspace_of
from fettle.api.openai.shapes import schema
from fettle.api.permissions import needs
from fettle.types.endpoints import Endpoint, EndpointSpec

router = APIRouter(prefix="/endpoints", tags=["Endpoints"])
_READS, _WRITES = [needs("clusters:read")], [needs("clusters:write")]


@router.post("", status_code=201, response_model=Endpoint, openapi_extra=schema(EndpointSpec), dependencies=_WRITES)
async def create(request: Request, key: RepeatKey = None) -> Response:
    """Serve a model under a name; its cluster's engine is started."""
    spec = await asked(EndpointSpec, request)
    endpoints = workspace_of(request).endpoints
    return await once(request, key, spec, lambda: _served(request, lambda: endpoints.create(spec)), 201)


@router.get("", dependencies=_READS)
def list_endpoints(request: Request, after: After = None, limit: Limit = 20) -> Page[Endpoint]:
    """The endpoints, the newest first; deleted ones too."""
    endpoints = workspace_of(request).endpoints
    return page(endpoints.page(after=after, limit=limit + 1), limit, lambda one: one.id)


@router.get("/{endpoint}", dependencies=_READS)
def retrieve(endpoint: str, request: Request) -> Endpoint:
    """One endpoint, by its id or name."""
    return workspace_of(request).endpoints.get(endpoint)


@router.post("/{endpoint}/activate", response_model=Endpoint, dependencies=_WRITES)
async def activate(endpoint: str, request: Request, key: RepeatKey = None) -> Response:
    """Have an endpoint answer again; its cluster's engine is started."""
    endpoints = workspace_of(request).endpoints
    return await once(request, key, None, lambda: _served(request, lambda: endpoints.activate(endpoint)))


@router.post("/{endpoint}/deactivate", response_model=Endpoint, dependencies=_WRITES)
async def deactivate(endpoint: str, request: Request, background: BackgroundTasks, key: RepeatKey = None) -> Response:
    """Have an endpoint refuse requests; the others on its cluster go on. The engine ends with the last one."""
    endpoints = workspace_of(request).endpoints
    background.add_task(_release, request, endpoint)
    return await once(request, key, None, lambda: asyncio.to_thread(endpoints.deactivate, endpoint))


@router.delete("/{endpoint}", dependencies=_WRITES)
def delete(endpoint: str, request: Request, background: BackgroundTasks) -> Endpoint:
    """Give up an endpoint; its name and its room on the cluster are free again. The engine ends with the last one."""
    deleted = workspace_of(request).endpoints.delete(endpoint)
    background.add_task(_release, request, deleted.id)
    return deleted


async def _release(request: Request, name: str) -> None:
    """End the engine of an endpoint's cluster if no endpoint on it is active."""
    workspace = workspace_of(request)
    cluster = (await asyncio.to_thread(workspace.endpoints.get, name)).cluster_id
    found = await asyncio.to_thread(workspace.endpoints.list)
    if not any(one.cluster_id == cluster and one.state == "active" for one in found):
        await workspace.engines.release(cluster)


async def _served(request: Request, work: Callable[[], Endpoint]) -> Endpoint:
    """The endpoint that `work` makes active, and for which an engine is being loaded."""
    endpoint = await asyncio.to_thread(work)
    await workspace_of(request).engines.start([endpoint.name])
    return endpoint
