"""/api/v1/clusters and /api/v1/shapes: units of this machine that are reserved."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Query, Request
from pydantic import Field
from starlette.responses import Response

from fettle.api.native.conventions import After, Limit, Page, RepeatKey, asked, once, page, workspace_of
from fettle.api.openai.shapes import schema
from fettle.api.permissions import needs
from fettle.types.clusters import MAX_UNITS, Cluster, ClusterReport, ClusterSpec, ShapeOffer
from fettle.types.record import Record

router = APIRouter(tags=["Clusters"])
_READS, _WRITES = [needs("clusters:read")], [needs("clusters:write")]


class Resize(Record):
    """The body of POST /api/v1/clusters/{cluster}/resize."""

    units: int = Field(ge=1, le=MAX_UNITS, description="units from now on")


@router.get("/shapes", dependencies=_READS)
def list_shapes(
    request: Request, base: Annotated[str | None, Query(description="only those that this base model fits on")] = None
) -> Page[ShapeOffer]:
    """What a unit can be, and how many could be had now."""
    offers: Sequence[ShapeOffer] = workspace_of(request).clusters.offers(base)
    return page(offers, len(offers), lambda offer: offer.shape.name)


@router.post(
    "/clusters",
    status_code=201,
    response_model=ClusterReport,
    openapi_extra=schema(ClusterSpec),
    dependencies=_WRITES,
)
async def create(request: Request, key: RepeatKey = None) -> Response:
    """Reserve units under a name."""
    spec = await asked(ClusterSpec, request)
    clusters = workspace_of(request).clusters

    async def work() -> ClusterReport:
        return await asyncio.to_thread(lambda: clusters.report(clusters.create(spec)))

    return await once(request, key, spec, work, 201)


@router.get("/clusters", dependencies=_READS)
def list_clusters(request: Request, after: After = None, limit: Limit = 20) -> Page[ClusterReport]:
    """The clusters, the newest first; deleted ones too."""
    clusters = workspace_of(request).clusters
    found = page(clusters.page(after=after, limit=limit + 1), limit, _id)
    return Page(data=list(clusters.reports(found.data)), next=found.next)


@router.get("/clusters/{cluster}", dependencies=_READS)
def retrieve(cluster: str, request: Request) -> ClusterReport:
    """One cluster, by its id or name."""
    clusters = workspace_of(request).clusters
    return clusters.report(clusters.get(cluster))


@router.post(
    "/clusters/{cluster}/resize", response_model=ClusterReport, openapi_extra=schema(Resize), dependencies=_WRITES
)
async def resize(cluster: str, request: Request, key: RepeatKey = None) -> Response:
    """Give a cluster more units, or fewer."""
    body = await asked(Resize, request)
    clusters = workspace_of(request).clusters

    async def work() -> ClusterReport:
        return await asyncio.to_thread(lambda: clusters.report(clusters.resize(cluster, body.units)))

    return await once(request, key, body, work)


@router.delete("/clusters/{cluster}", dependencies=_WRITES)
def delete(
    cluster: str,
    request: Request,
    background: BackgroundTasks,
    cascade: Annotated[bool, Query(description="delete what is on it, too")] = False,
) -> ClusterReport:
    """Give a cluster's units back; its record stays, and its engine ends."""
    workspace = workspace_of(request)
    deleted = workspace.clusters.delete(cluster, cascade=cascade)
    background.add_task(workspace.engines.release, deleted.id)
    return workspace.clusters.report(deleted)


def _id(cluster: Cluster) -> str:
    return cluster.id
