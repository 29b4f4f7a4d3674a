"""/api/v1/sweeps: tuning jobs that are trained together and compared."""

import asyncio
from collections.abc import Callable

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from fettle.api.native.conventions import RepeatKey, asked, once, workspace_of
from fettle.api.native.jobs import for_tuning, renamed, told
from fettle.api.openai.shapes import schema
from fettle.api.permissions import needs
from fettle.errors import FettleError
from fettle.services.sweep_grid import MAX_RUNS
from fettle.services.workspace import Workspace
from fettle.types.record import Record
from fettle.types.resources import MAX_PRIORITY, Order
from fettle.types.told import SweepTold
from fettle.types.tuning import TuningSpec

router = APIRouter(prefix="/sweeps", tags=["Tuning jobs"])
_READS, _WRITES = [needs("jobs:read")], [needs("jobs:write")]


class SweepOrder(Record):
    """The body of POST /api/v1/sweeps."""

    specs: tuple[TuningSpec, ...] = Field(min_length=1, max_length=MAX_RUNS, description="one for each run")
    train_file: str = Field(min_length=1, description="id of an uploaded file of purpose 'fine-tune'")
    validation_file: str | None = Field(default=None, description="held-out rows; null holds some others out")
    cluster: str | None = Field(default=None, description="fine-tuning cluster to run on; null: on none")
    priority: int = Field(
        default=0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="of what waits, the highest is run first"
    )
    keep_all: bool = Field(default=False, description="have every run become a custom model, the best one last")


class Again(Record):
    """The body of POST /api/v1/sweeps/{sweep}/resume."""

    keep_all: bool = Field(default=False, description="have every run become a custom model, the best one last")


@router.post("", status_code=201, response_model=SweepTold, openapi_extra=schema(SweepOrder), dependencies=_WRITES)
async def create(request: Request, key: RepeatKey = None) -> Response:
    """Check all runs and their rows, and queue them; the server trains them together."""
    order, workspace = await asked(SweepOrder, request), workspace_of(request)
    return await once(request, key, order, lambda: _moved(workspace, lambda: _ordered(order, workspace)), 201)


@router.get("/{sweep}", dependencies=_READS)
def retrieve(sweep: str, request: Request) -> SweepTold:
    """A sweep: its jobs, and what came of them so far."""
    return _told(sweep, workspace_of(request))


@router.post("/{sweep}/cancel", response_model=SweepTold, dependencies=_WRITES)
async def cancel(sweep: str, request: Request, key: RepeatKey = None) -> Response:
    """End all jobs of a sweep."""
    workspace = workspace_of(request)

    def work() -> str:
        workspace.sweeps.stop_all(sweep, "cancelled")
        return sweep

    return await once(request, key, None, lambda: _moved(workspace, work))


@router.post("/{sweep}/resume", response_model=SweepTold, openapi_extra=schema(Again), dependencies=_WRITES)
async def resume(sweep: str, request: Request, key: RepeatKey = None) -> Response:
    """Queue the jobs of a sweep again that have not succeeded; they go on from their last checkpoints."""
    body, workspace = await asked(Again, request), workspace_of(request)

    def work() -> str:
        workspace.sweeps.queue_all(sweep, keep_all=body.keep_all)
        return sweep

    return await once(request, key, body, lambda: _moved(workspace, work))


async def _moved(workspace: Workspace, work: Callable[[], str]) -> SweepTold:
    sweep_id = await asyncio.to_thread(work)
    workspace.supervisor.wake()
    return await asyncio.to_thread(_told, sweep_id, workspace)


def _told(sweep_id: str, workspace: Workspace) -> SweepTold:
    jobs = [told(job, workspace) for job in workspace.sweeps.jobs_of(sweep_id)]
    return SweepTold(id=sweep_id, jobs=jobs, result=workspace.sweeps.result(sweep_id))


def _ordered(order: SweepOrder, workspace: Workspace) -> str:
    files = [for_tuning(workspace, one) for one in (order.train_file, order.validation_file) if one]
    paths = [workspace.files.path(file) for file in files]
    about = Order(train_file=order.train_file, validation_file=order.validation_file)
    held_out = paths[1] if len(paths) > 1 else None
    try:
        return workspace.sweeps.create_all(
            order.specs,
            paths[0],
            held_out,
            about,
            cluster=order.cluster,
            priority=order.priority,
            keep_all=order.keep_all,
        )
    except FettleError as error:
        raise renamed(error, {str(path): file.filename for path, file in zip(paths, files, strict=True)}) from None
