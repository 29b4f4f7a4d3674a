"""/api/v1/data-checks and /evaluations: what is in files of examples, and how well models answer them."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from threading import Event
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from fettle.api.native.conventions import asked, workspace_of
from fettle.api.native.jobs import for_tuning, renamed
from fettle.api.openai.shapes import schema
from fettle.api.permissions import needs
from fettle.api.streaming import STREAMS, EventStream, event
from fettle.errors import FettleError, Unavailable
from fettle.services.data_checks import check_data
from fettle.services.workspace import Workspace
from fettle.types.data import DataReport
from fettle.types.evaluation import EvaluationReport, ProgressEvent
from fettle.types.record import Record
from fettle.types.resources import StoredFile

router = APIRouter(tags=["Measures"])
_FILE = "id of an uploaded file of purpose 'fine-tune'"


class DataCheckOrder(Record):
    """The body of POST /api/v1/data-checks."""

    file: str = Field(min_length=1, description=_FILE)
    validation_file: str | None = Field(default=None, description="held-out rows that belong to it")
    base: str = Field(min_length=1, max_length=512, description="base model whose tokens are counted")


class EvaluationOrder(Record):
    """The body of POST /api/v1/evaluations."""

    model: str = Field(min_length=1, max_length=512, description="a base model, or NAME, NAME:VERSION or NAME:LABEL")
    file: str = Field(min_length=1, description=_FILE)
    limit: int | None = Field(default=None, ge=1, le=2**31, description="rows at most, from the top")
    max_tokens: int = Field(default=256, ge=1, le=2**31, description="tokens of an answer at most")
    metrics: tuple[str, ...] = Field(default=(), max_length=64, description="their names; none means all that fit")


@router.post("/data-checks", openapi_extra=schema(DataCheckOrder), dependencies=[needs("files:write")])
async def check(request: Request) -> DataReport:
    """Say what is in a file of examples and what is wrong with it; every bad row is named at once."""
    order, workspace = await asked(DataCheckOrder, request), workspace_of(request)
    return await asyncio.to_thread(_checked, order, workspace)


@router.post(
    "/evaluations", openapi_extra=schema(EvaluationOrder), responses=STREAMS, dependencies=[needs("jobs:write")]
)
async def evaluate(request: Request) -> Response:
    """Measure a model on a file of examples: events of progress, then one with the report and the file of answers."""
    order, workspace = await asked(EvaluationOrder, request), workspace_of(request)
    file = await asyncio.to_thread(for_tuning, workspace, order.file)
    return await EventStream.begun(request.receive, _events(order, file, workspace))


def _checked(order: DataCheckOrder, workspace: Workspace) -> DataReport:
    files = [for_tuning(workspace, one) for one in (order.file, order.validation_file) if one]
    paths = [workspace.files.path(file) for file in files]
    names = {str(path): file.filename for path, file in zip(paths, files, strict=True)}
    held_out = paths[1] if len(paths) > 1 else None
    try:
        report = check_data(
            paths[0], held_out, order.base, base_models=workspace.base_models, settings=workspace.settings
        )
    except FettleError as error:
        raise renamed(error, names) from None
    inner = report.validation and _named(report.validation, names)
    return _named(report, names).model_copy(update={"validation": inner})


def _named(report: DataReport, names: dict[str, str]) -> DataReport:
    return report.model_copy(update={"path": names[report.path]})


async def _events(order: EvaluationOrder, file: StoredFile, workspace: Workspace) -> AsyncGenerator[bytes, None]:
    """The progress of an evaluation, then what came of it; closing this ends its worker."""
    told: asyncio.Queue[ProgressEvent | None] = asyncio.Queue()
    loop, is_gone = asyncio.get_running_loop(), Event()

    def on_event(one: ProgressEvent) -> None:
        if is_gone.is_set():
            raise Unavailable("nobody waits for this evaluation any more")
        loop.call_soon_threadsafe(told.put_nowait, one)

    work = asyncio.ensure_future(asyncio.to_thread(_evaluated, order, file, workspace, on_event))
    work.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while one := await told.get():
            yield event(one.model_dump(mode="json"))
        yield event(await work)
    finally:
        is_gone.set()


def _evaluated(order: EvaluationOrder, file: StoredFile, workspace: Workspace, on_event: Any) -> dict[str, Any]:
    path = workspace.files.path(file)
    options: dict[str, Any] = {"limit": order.limit, "max_tokens": order.max_tokens, "metrics": order.metrics}
    try:
        report = workspace.evaluations.run(order.model, path, on_event=on_event, **options)
    except FettleError as error:
        raise renamed(error, {str(path): file.filename}) from None
    return {
        "type": "report",
        "report": report.model_dump(mode="json", exclude={"predictions_path"}),
        "predictions_file": _kept(report, workspace).id,
    }


def _kept(report: EvaluationReport, workspace: Workspace) -> StoredFile:
    """Every answer, as a file that can be downloaded."""
    with workspace.files.draft() as draft:
        draft.write_bytes(Path(report.predictions_path).read_bytes())
        return workspace.files.keep(draft, "predictions.jsonl", "evaluation-results")
