"""/api/v1/base-models, /custom-models and /version-labels: what can be tuned and served."""

import asyncio
import os
import tarfile
import tempfile
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from fettle.api.native.conventions import After, Limit, Page, RepeatKey, asked, once, page, workspace_of
from fettle.api.openai.shapes import schema
from fettle.api.permissions import needs
from fettle.errors import unknown
from fettle.store.files import storage_told
from fettle.types.endpoints import VersionLabel
from fettle.types.record import Record
from fettle.types.told import BaseModelTold, CustomModelTold

router = APIRouter(tags=["Models"])
_READS, _WRITES = [needs("models:read")], [needs("models:write")]
# `:path`, as names may hold slashes, which some clients escape and some do not.
CARD: dict[int | str, dict[str, Any]] = {200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}}
ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}}
}
Name = Annotated[str, Path(description="NAME (the newest version), NAME:VERSION or NAME:LABEL")]


class LabelMove(Record):
    """The body of POST /api/v1/version-labels."""

    model: str = Field(min_length=1, max_length=512, description="the version: NAME:VERSION, or NAME for the newest")
    label: str = Field(description="small letters, digits, dashes and underscores; 32 at most")


@router.get("/base-models", dependencies=_READS)
def list_base_models(request: Request) -> Page[BaseModelTold]:
    """All base models; the packaged ones first."""
    found = [BaseModelTold.of(entry) for entry in workspace_of(request).base_models.list()]
    return page(found, len(found), lambda base: base.name)


@router.get("/base-models/{name:path}", dependencies=_READS)
def retrieve_base_model(name: str, request: Request) -> BaseModelTold:
    """One base model."""
    return BaseModelTold.of(workspace_of(request).base_models.get(name))


@router.get("/custom-models", dependencies=_READS)
def list_custom_models(request: Request, after: After = None, limit: Limit = 20) -> Page[CustomModelTold]:
    """The versions of all custom models, the newest first; deleted ones too."""
    found = workspace_of(request).custom_models.page(after=after, limit=limit + 1)
    return page([CustomModelTold.of(model) for model in found], limit, lambda model: model.id)


@router.get("/custom-models/{name:path}/card", response_class=Response, responses=CARD, dependencies=_READS)
def card(name: Name, request: Request) -> Response:
    """The model card of one version of a custom model, as Markdown."""
    models = workspace_of(request).custom_models
    return Response(models.card(models.get(name)), media_type="text/markdown")


@router.get("/custom-models/{name:path}/archive", response_class=FileResponse, responses=ARCHIVE, dependencies=_READS)
def archive(name: Name, request: Request) -> FileResponse:
    """The files of one version of a custom model with its card, as a tar archive."""
    models = workspace_of(request).custom_models
    archive = _archived(models.files(models.get(name)))
    return FileResponse(archive, media_type="application/x-tar", background=BackgroundTask(archive.unlink))


@router.get("/custom-models/{name:path}", dependencies=_READS)
def retrieve_custom_model(name: Name, request: Request) -> CustomModelTold:
    """One version of a custom model."""
    return CustomModelTold.of(workspace_of(request).custom_models.get(name))


@router.delete("/custom-models/{name:path}", dependencies=_WRITES)
def delete_custom_model(name: Name, request: Request) -> CustomModelTold:
    """Delete one version with its files."""
    return CustomModelTold.of(workspace_of(request).custom_models.delete(name))


@router.post("/version-labels", response_model=VersionLabel, openapi_extra=schema(LabelMove), dependencies=_WRITES)
async def put_label(request: Request, key: RepeatKey = None) -> Response:
    """Have a label mean a version from now on, in one step; endpoints that follow it serve that version at once."""
    body = await asked(LabelMove, request)
    labels = workspace_of(request).version_labels
    return await once(request, key, body, lambda: asyncio.to_thread(labels.put, body.model, body.label))


@router.get("/version-labels", dependencies=_READS)
def list_labels(
    request: Request,
    name: Annotated[str | None, Query(description="of a version set")] = None,
    after: After = None,
    limit: Limit = 20,
) -> Page[VersionLabel]:
    """The labels of all version sets, or of one, in the order of their names."""
    found = workspace_of(request).version_labels.page(name, after=after, limit=limit + 1)
    return page(found, limit, lambda label: label.id)


@router.delete("/version-labels/{label}", dependencies=_WRITES)
def delete_label(label: Annotated[str, Path(description="NAME:LABEL")], request: Request) -> VersionLabel:
    """Take a label away from a version set."""
    name, colon, word = label.partition(":")
    if not colon:
        raise unknown("label", label, [], param="label")
    return workspace_of(request).version_labels.remove(name, word)


def _archived(files: dict[str, FilePath]) -> FilePath:
    """A new archive of files, by their names in it.

    Raises:
        StorageFailed: the disk is full; nothing is left of it then.
    """
    descriptor, made = tempfile.mkstemp(prefix="fettle-", suffix=".tar")
    try:
        with (
            storage_told("the archive cannot be written"),
            os.fdopen(descriptor, "wb") as file,
            tarfile.open(fileobj=file, mode="w") as archive,
        ):
            for name, path in files.items():
                archive.add(path, name)
    except BaseException:
        FilePath(made).unlink()
        raise
    return FilePath(made)
