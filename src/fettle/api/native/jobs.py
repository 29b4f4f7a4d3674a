"""/api/v1/tuning-jobs: order, follow and stop tuning jobs."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import FileResponse, Response

from fettle.api.native.conventions import After, Limit, Page, RepeatKey, asked, once, page, workspace_of
from fettle.api.native.following import Follow, LastEventId, following, new_events, new_lines
from fettle.api.native.following import told as event_told
from fettle.api.openai.shapes import schema
from fettle.api.permissions import needs
from fettle.api.streaming import EVENTS, STREAMS
from fettle.errors import FettleError, InvalidInput, NotFound
from fettle.services.workspace import Workspace
from fettle.types.ids import MAX_NUMBER
from fettle.types.record import Record
from fettle.types.resources import MAX_PRIORITY, Order, StoredFile, TuningJob
from fettle.types.told import JobEvent, JobTold
from fettle.types.tuning import TuningSpec

router = APIRouter(prefix="/tuning-jobs", tags=["Tuning jobs"])
_READS, _WRITES = [needs("jobs:read")], [needs("jobs:write")]
_TEXT = {"schema": {"type": "string"}}
LOG: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": _TEXT, **EVENTS}}}
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


class JobOrder(Record):
    """The body of POST /api/v1/tuning-jobs."""

    spec: TuningSpec
    train_file: str = Field(min_length=1, description="id of an uploaded file of purpose 'fine-tune'")
    validation_file: str | None = Field(default=None, description="held-out rows; null holds some others out")
    cluster: str | None = Field(default=None, description="fine-tuning cluster to run on; null: on none")
    priority: int = Field(
        default=0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="of the jobs that wait, the highest is run first"
    )
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16, description="labels of your own")


@router.post("", status_code=201, response_model=JobTold, openapi_extra=schema(JobOrder), dependencies=_WRITES)
async def create(request: Request, key: RepeatKey = None) -> Response:
    """Check a job and its rows, and queue it."""
    order = await asked(JobOrder, request)
    workspace = workspace_of(request)

    async def work() -> JobTold:
        job = await asyncio.to_thread(_ordered, order, workspace)
        workspace.supervisor.wake()
        return told(job, workspace)

    return await once(request, key, order, work, 201)


@router.get("", dependencies=_READS)
def list_jobs(request: Request, after: After = None, limit: Limit = 20) -> Page[JobTold]:
    """The jobs, the newest first."""
    workspace = workspace_of(request)
    found = page(workspace.tuning_jobs.page(after=after, limit=limit + 1), limit, lambda job: job.id)
    return Page(data=[told(job, workspace) for job in found.data], next=found.next)


@router.get("/{job}", dependencies=_READS)
def retrieve(job: str, request: Request) -> JobTold:
    """One job."""
    workspace = workspace_of(request)
    return told(workspace.tuning_jobs.get(job), workspace)


@router.get("/{job}/events", response_model=Page[JobEvent], responses=STREAMS, dependencies=_READS)
async def list_events(
    job: str,
    request: Request,
    after: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="id of the last one of the page before")] = 0,
    limit: Limit = 20,
    follow: Follow = False,
    last_event_id: LastEventId = None,
) -> Page[JobEvent] | Response:
    """What a job has told, in order; followed, it is told as it comes."""
    jobs = workspace_of(request).tuning_jobs
    if follow:
        return await following(
            request, partial(new_events, jobs, job), after if last_event_id is None else last_event_id
        )
    found = await asyncio.to_thread(partial(jobs.events, job, after=after, limit=limit + 1))
    return page([event_told(one) for one in found], limit, lambda event: event.id)


@router.get("/{job}/log", response_class=Response, responses=LOG, dependencies=_READS)
async def read_log(
    job: str,
    request: Request,
    follow: Follow = False,
    last_event_id: LastEventId = None,
) -> Response:
    """What a job's worker has written of its work, errors above all; followed, a line is told as it is written."""
    jobs = workspace_of(request).tuning_jobs
    if follow:
        return await following(request, partial(new_lines, jobs, job), last_event_id or 0)
    path = jobs.log_path((await asyncio.to_thread(jobs.get, job)).id)
    return FileResponse(path, media_type="text/plain") if path.exists() else Response(media_type="text/plain")


@router.get("/{job}/metrics", response_class=Response, responses=CSV, dependencies=_READS)
def metrics(job: str, request: Request) -> Response:
    """What a job has measured so far, as CSV in the columns of OpenAI's result files."""
    return Response(workspace_of(request).tuning_jobs.metrics(job), media_type="text/csv")


@router.post("/{job}/cancel", response_model=JobTold, dependencies=_WRITES)
async def cancel(job: str, request: Request, key: RepeatKey = None) -> Response:
    """End a job."""
    return await _moved(request, key, lambda jobs: jobs.tuning_jobs.stop(job, "cancelled"))


@router.post("/{job}/pause", response_model=JobTold, dependencies=_WRITES)
async def pause(job: str, request: Request, key: RepeatKey = None) -> Response:
    """End a job's worker; the job can go on from its last checkpoint."""
    return await _moved(request, key, lambda jobs: jobs.tuning_jobs.stop(job, "paused"))


@router.post("/{job}/resume", response_model=JobTold, dependencies=_WRITES)
async def resume(job: str, request: Request, key: RepeatKey = None) -> Response:
    """Queue a job again that was paused, cancelled or failed; it goes on from its last checkpoint."""
    return await _moved(request, key, lambda jobs: jobs.tuning_jobs.queue(job))


def told(job: TuningJob, workspace: Workspace) -> JobTold:
    """What clients are told of a job."""
    return JobTold.of(job, workspace.custom_models.made_by(job))


async def _moved(request: Request, key: str | None, move: Callable[[Workspace], TuningJob]) -> Response:
    workspace = workspace_of(request)

    async def work() -> JobTold:
        job = await asyncio.to_thread(move, workspace)
        workspace.supervisor.wake()
        return told(job, workspace)

    return await once(request, key, None, work)


def _ordered(order: JobOrder, workspace: Workspace) -> TuningJob:
    files = _files(order, workspace)
    paths = [workspace.files.path(file) for file in files]
    about = Order(train_file=order.train_file, validation_file=order.validation_file, metadata=order.metadata)
    try:
        held_out = paths[1] if len(paths) > 1 else None
        return workspace.tuning_jobs.create(
            order.spec, paths[0], held_out, about, cluster=order.cluster, priority=order.priority
        )
    except FettleError as error:
        raise renamed(error, {str(path): file.filename for path, file in zip(paths, files, strict=True)}) from None


def _files(order: JobOrder, workspace: Workspace) -> Sequence[StoredFile]:
    """The training file and, if one is named, the validation file.

    Raises:
        InvalidInput: some are not there, or not to be tuned on.
    """
    named = {"train_file": order.train_file, "validation_file": order.validation_file}
    found, faults = [], []
    for field, file_id in named.items():
        try:
            found += [for_tuning(workspace, file_id)] if file_id else []
        except (NotFound, InvalidInput) as error:
            faults.append(f"'{field}': {error.message}")
    if faults:
        raise InvalidInput("\n".join(faults), hint="Upload it with POST /v1/files.", param=faults[0].split("'")[1])
    return found


def for_tuning(workspace: Workspace, file_id: str) -> StoredFile:
    """A file of examples.

    Raises:
        NotFound: there is none.
        InvalidInput: it is for something else.
    """
    # OpenAI's clients, which upload files, know `file-5f0e...`.
    file = workspace.files.get(file_id.replace("file-", "file_", 1) if file_id.startswith("file-") else file_id)
    if file.purpose != "fine-tune":
        raise InvalidInput(f"{file_id!r} is of purpose {file.purpose!r}: 'fine-tune' was expected")
    return file


def renamed(error: FettleError, names: dict[str, str]) -> FettleError:
    """The error, which names files as the client does."""
    for path, name in names.items():
        error.message, error.hint = (text.replace(path, name) for text in (error.message, error.hint))
    return error
