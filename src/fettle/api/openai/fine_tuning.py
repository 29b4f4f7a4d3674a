"""/v1/fine_tuning/jobs: order, follow and stop tuning jobs."""

import asyncio
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from fettle.api.backend import Platform, backend_of
from fettle.api.middleware import body_of
from fettle.api.openai.ids import own
from fettle.api.openai.pages import page
from fettle.api.openai.shapes import parsed, schema
from fettle.api.openai.tuning_answers import ORGANIZATION, checkpoints_told, event_told, job_told
from fettle.api.openai.tuning_shapes import JobRequest
from fettle.api.permissions import needs
from fettle.errors import FettleError, InvalidInput, NotFound
from fettle.services.files import Files
from fettle.store.events import Event
from fettle.types.ids import MAX_NUMBER
from fettle.types.resources import Order, StoredFile, TuningJob

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["OpenAI"])
Limit = Annotated[int, Query(ge=1, le=1000)]
_LABEL = re.compile(r"metadata\[(.+)\]")


@router.post("", openapi_extra=schema(JobRequest), dependencies=[needs("jobs:write")])
async def create(request: Request) -> dict[str, Any]:
    """Check a job and its rows, and queue it."""
    asked, platform = parsed(JobRequest, await body_of(request)), _platform(request)
    job = await asyncio.to_thread(_ordered, asked, platform)
    platform.supervisor.wake()
    return await asyncio.to_thread(job_told, job, platform)


@router.get("", dependencies=[needs("jobs:read")])
def list_jobs(request: Request, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
    """The jobs, the newest first; `metadata[name]=text` leaves those with other labels out."""
    platform = _platform(request)
    labels = {found[1]: text for name, text in request.query_params.items() if (found := _LABEL.fullmatch(name))}
    within: dict[tuple[str, ...], str] = {("order", "metadata", name): text for name, text in labels.items()}

    def fetch(number: int) -> Sequence[TuningJob]:
        return platform.tuning_jobs.page(after=after and own("job", after), limit=number, within=within)

    return page(limit, fetch, lambda job: job_told(job, platform))


@router.get("/{job_id}", dependencies=[needs("jobs:read")])
def retrieve(job_id: str, request: Request) -> dict[str, Any]:
    """One job."""
    return job_told(_job(job_id, request), _platform(request))


# The next three read no body: clients say that it is JSON, and send none.
@router.post("/{job_id}/cancel", dependencies=[needs("jobs:write")])
def cancel(job_id: str, request: Request) -> dict[str, Any]:
    """End a job."""
    return job_told(_platform(request).tuning_jobs.stop(_job(job_id, request).id, "cancelled"), _platform(request))


@router.post("/{job_id}/pause", dependencies=[needs("jobs:write")])
def pause(job_id: str, request: Request) -> dict[str, Any]:
    """End a job's worker; the job can go on from its last checkpoint."""
    return job_told(_platform(request).tuning_jobs.stop(_job(job_id, request).id, "paused"), _platform(request))


@router.post("/{job_id}/resume", dependencies=[needs("jobs:write")])
def resume(job_id: str, request: Request) -> dict[str, Any]:
    """Queue a job again that was paused, cancelled or failed; it goes on from its last checkpoint."""
    platform = _platform(request)
    job = platform.tuning_jobs.queue(_job(job_id, request).id)
    platform.supervisor.wake()
    return job_told(job, platform)


@router.get("/{job_id}/events", dependencies=[needs("jobs:read")])
def list_events(job_id: str, request: Request, after: str | None = None, limit: Limit = 20) -> dict[str, Any]:
    """What a job has told, the newest first."""
    jobs, job, before = _platform(request).tuning_jobs, _job(job_id, request), _number(after)

    def fetch(number: int) -> Sequence[Event]:
        return jobs.newest_events(job.id, limit=number, before=before)

    return page(limit, fetch, event_told)


@router.get("/{job_id}/checkpoints", dependencies=[needs("jobs:read")])
def list_checkpoints(job_id: str, request: Request, after: str | None = None, limit: Limit = 10) -> dict[str, Any]:
    """The model as it was when it was best."""
    found = checkpoints_told(_job(job_id, request), _platform(request))
    ids = [one["id"] for one in found]
    if after is not None and after not in ids:
        raise NotFound(f"unknown checkpoint {after!r}", param="after")
    begin = ids.index(after) + 1 if after else 0
    return page(limit, lambda number: found[begin : begin + number], dict)


def _ordered(asked: JobRequest, platform: Platform) -> TuningJob:
    """Record the job that is asked for, if everything about it is right."""
    train, validation = _files_of(asked, platform.files)
    spec, label = platform.tuning_jobs.resolved(asked.spec()), asked.label
    order = Order(
        train_file=train.id,
        validation_file=validation and validation.id,
        suffix=asked.suffix,
        alias=f"ft:{spec.base}:{ORGANIZATION}:{label}:{secrets.token_hex(6)}",
        method=asked.method_asked,
        metadata=asked.metadata or {},
    )
    paths = {platform.files.path(file): file.filename for file in (train, validation) if file}
    with _named(paths):
        held_out = platform.files.path(validation) if validation else None
        return platform.tuning_jobs.create(spec, platform.files.path(train), held_out, order)


def _files_of(asked: JobRequest, files: Files) -> tuple[StoredFile, StoredFile | None]:
    """The files that are named.

    Raises:
        InvalidInput: some are not there, or not to be tuned on.
    """
    named = {"training_file": asked.training_file, "validation_file": asked.validation_file}
    found: dict[str, StoredFile] = {}
    faults: dict[str, str] = {}
    for field, file_id in named.items():
        if file_id is None:
            continue
        try:
            found[field] = files.get(own("file", file_id))
            if found[field].purpose != "fine-tune":
                faults[field] = f"{file_id!r} is of purpose {found[field].purpose!r}: 'fine-tune' was expected"
        except NotFound:
            faults[field] = f"there is no file {file_id!r}"
    if faults:
        told = "\n".join(f"'{field}': {fault}" for field, fault in faults.items())
        raise InvalidInput(told, hint="Upload it with POST /v1/files.", param=next(iter(faults)))
    return found["training_file"], found.get("validation_file")


@contextmanager
def _named(paths: dict[Path, str]) -> Iterator[None]:
    """Let faults name files as the client does, not by where they are on this machine."""
    try:
        yield
    except FettleError as error:
        for path, name in paths.items():
            error.message = error.message.replace(str(path), name)
            error.hint = error.hint.replace(str(path), name)
        raise


def _number(event_id: str | None) -> int | None:
    """The number of an event from its id."""
    if event_id is None:
        return None
    number = event_id.removeprefix("ftevent-")
    if not number.isdecimal() or int(number) > MAX_NUMBER:
        raise NotFound(f"unknown event {event_id!r}", hint="Events are called ftevent-NUMBER.", param="after")
    return int(number)


def _job(job_id: str, request: Request) -> TuningJob:
    try:
        return _platform(request).tuning_jobs.get(own("job", job_id))
    except NotFound as error:
        raise NotFound(f"there is no fine-tuning job {job_id!r}", param="fine_tuning_job_id") from error


def _platform(request: Request) -> Platform:
    return backend_of(request).platform
