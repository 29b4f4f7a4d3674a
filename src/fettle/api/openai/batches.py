"""/v1/batches: many requests in one file, answered within a day."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field, field_validator

from fettle.api.backend import Platform, backend_of
from fettle.api.middleware import body_of
from fettle.api.openai.batch_lines import ENDPOINTS
from fettle.api.openai.ids import own, shown
from fettle.api.openai.pages import page
from fettle.api.openai.shapes import parsed, schema
from fettle.api.openai.tuning_shapes import Labels
from fettle.api.permissions import needs, principal_of
from fettle.errors import InvalidInput, NotFound, TooLarge
from fettle.services.batch_runner import BatchRunner
from fettle.types.access import Principal
from fettle.types.record import Record
from fettle.types.resources import Batch, BatchFault, BatchState, StoredFile

router = APIRouter(prefix="/v1/batches", tags=["OpenAI"])
MAX_INPUT_BYTES = 200 * 1024 * 1024
_TOLD_MOMENTS: tuple[BatchState, ...] = (
    "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"
)  # fmt: skip


class BatchRequest(Record):
    """The body of POST /v1/batches."""

    input_file_id: str = Field(min_length=1)
    endpoint: str
    completion_window: Literal["24h"]
    metadata: Labels | None = None

    @field_validator("endpoint")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in ENDPOINTS:
            raise ValueError(f"it should be one of {', '.join(ENDPOINTS)}")
        return value


@router.post("", openapi_extra=schema(BatchRequest), dependencies=[needs("batches:write")])
async def create(request: Request) -> dict[str, Any]:
    """Record a batch; its requests are checked, and then answered when there is room for them."""
    asked, platform = parsed(BatchRequest, await body_of(request)), _platform(request)
    batch = await asyncio.to_thread(_created, asked, platform, principal_of(request))
    _runner(request).wake()
    return told(batch)


@router.get("", dependencies=[needs("batches:read")])
def list_batches(
    request: Request, after: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> dict[str, Any]:
    """The batches, the newest first."""

    def fetch(number: int) -> Sequence[Batch]:
        return _platform(request).batches.page(after=after, limit=number)

    return page(limit, fetch, told)


@router.get("/{batch_id}", dependencies=[needs("batches:read")])
def retrieve(batch_id: str, request: Request) -> dict[str, Any]:
    """One batch."""
    return told(_platform(request).batches.get(batch_id))


@router.post("/{batch_id}/cancel", dependencies=[needs("batches:write")])
async def cancel(batch_id: str, request: Request) -> dict[str, Any]:
    """End a batch; the answers that it has are kept."""
    batch = await asyncio.to_thread(_platform(request).batches.cancel, batch_id)
    _runner(request).wake()
    return told(batch)


def told(batch: Batch) -> dict[str, Any]:
    """What clients are told of a batch."""
    counts = {"total": batch.num_requests, "completed": batch.num_completed, "failed": batch.num_failed}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": [_fault_told(one) for one in batch.faults]} if batch.faults else None,
        "input_file_id": shown(batch.input_file),
        "completion_window": "24h",
        "status": batch.state,
        "output_file_id": batch.output_file and shown(batch.output_file),
        "error_file_id": batch.error_file and shown(batch.error_file),
        "created_at": int(batch.created_at.timestamp()),
        "expires_at": int(batch.expires_at.timestamp()),
        **{f"{state}_at": _moment(batch, state) for state in _TOLD_MOMENTS},
        "request_counts": counts,
        "metadata": batch.metadata,
    }


def _fault_told(fault: BatchFault) -> dict[str, Any]:
    return {"code": fault.code, "line": fault.line, "message": fault.message, "param": fault.param}


def _moment(batch: Batch, state: BatchState) -> int | None:
    moment = batch.moved_at.get(state)
    return int(moment.timestamp()) if moment else None


def _created(asked: BatchRequest, platform: Platform, principal: Principal) -> Batch:
    labels, key_id = asked.metadata or {}, principal.counted_key
    return platform.batches.create(asked.endpoint, _input(asked, platform), labels, key_id)


def _input(asked: BatchRequest, platform: Platform) -> StoredFile:
    try:
        file = platform.files.get(own("file", asked.input_file_id))
    except NotFound as error:
        hint = "Upload it with POST /v1/files and purpose 'batch'."
        raise InvalidInput(f"there is no file {asked.input_file_id!r}", hint=hint, param="input_file_id") from error
    if file.purpose != "batch":
        fault = f"{asked.input_file_id!r} is of purpose {file.purpose!r}: 'batch' was expected"
        raise InvalidInput(fault, hint="Upload it again with purpose 'batch'.", param="input_file_id")
    if file.size_bytes > MAX_INPUT_BYTES:
        fault = f"the file has {file.size_bytes} bytes; {MAX_INPUT_BYTES} are possible in one batch"
        raise TooLarge(fault, hint="Split it into several batches.", param="input_file_id")
    return file


def _platform(request: Request) -> Platform:
    return backend_of(request).platform


def _runner(request: Request) -> BatchRunner:
    runner = request.app.state.batch_runner
    assert isinstance(runner, BatchRunner)
    return runner
