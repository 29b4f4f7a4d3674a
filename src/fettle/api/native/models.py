"""/api/v1/base-models, /custom-models and /version-labels: what can be tuned and served."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from fettle.api.native.conventions import After, Limit, Page, RepeatKey, asked, once, page, workspace_of
from fettle.api.openai.shapes import schema
from fettle.api.permissions import needs
from fettle.errors import unknown
from fettle.types.endpoints import VersionLabel
from fettle.types.record import Record
from fettle.types.told import BaseModelTold, CustomModelTold

router = APIRouter(tags=["Models"])
_READS, _WRITES = [needs("models:read")], [needs("models:write")]
# `:path`, as names may hold slashes, which some clients escape and some do not.
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
