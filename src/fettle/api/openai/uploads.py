"""/v1/uploads: files that come in parts."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from fettle.api.backend import Platform, backend_of
from fettle.api.forms import FILE_PART, MAX_FIELDS_BYTES, Form, form_document, read_form
from fettle.api.middleware import body_of
from fettle.api.openai.files import told as file_told
from fettle.api.openai.shapes import parsed, schema
from fettle.api.permissions import needs
from fettle.errors import InvalidInput
from fettle.services.uploads import MAX_BYTES, UploadPart
from fettle.types.record import Record
from fettle.types.resources import GivenPurpose, Upload

router = APIRouter(prefix="/v1/uploads", tags=["OpenAI"])
PART_FIELD = "data"
MAX_PART_BYTES = 64 * 1024 * 1024
PART = form_document(**{PART_FIELD: FILE_PART})


class UploadRequest(Record):
    """The body of POST /v1/uploads."""

    filename: str = Field(min_length=1, max_length=255)
    purpose: GivenPurpose
    bytes: int = Field(ge=1, le=MAX_BYTES)
    mime_type: str


class CompleteRequest(Record):
    """The body of POST /v1/uploads/{upload_id}/complete."""

    part_ids: tuple[str, ...] = Field(min_length=1)
    md5: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")] | None = None


@router.post("", openapi_extra=schema(UploadRequest), dependencies=[needs("files:write")])
async def create(request: Request) -> dict[str, Any]:
    """Begin an upload."""
    asked, uploads = parsed(UploadRequest, await body_of(request)), _platform(request).uploads
    upload = await asyncio.to_thread(uploads.create, asked.filename, asked.purpose, asked.bytes)
    return told(upload, _platform(request))


@router.post("/{upload_id}/parts", openapi_extra=PART, dependencies=[needs("files:write")])
async def add_part(upload_id: str, request: Request) -> dict[str, Any]:
    """Keep a part of the file; which place it has, `complete` says."""
    uploads = _platform(request).uploads
    upload = await asyncio.to_thread(uploads.pending, upload_id)
    with uploads.draft(upload) as path:
        form = await read_form(request, path, MAX_PART_BYTES + MAX_FIELDS_BYTES, PART_FIELD)
        _check(form)
        return _part_told(await asyncio.to_thread(uploads.add, upload, path))


@router.post("/{upload_id}/complete", openapi_extra=schema(CompleteRequest), dependencies=[needs("files:write")])
async def complete(upload_id: str, request: Request) -> dict[str, Any]:
    """Make a file of parts."""
    asked, platform = parsed(CompleteRequest, await body_of(request)), _platform(request)
    upload = await asyncio.to_thread(platform.uploads.complete, upload_id, asked.part_ids, asked.md5)
    return told(upload, platform)


@router.post("/{upload_id}/cancel", dependencies=[needs("files:write")])
def cancel(upload_id: str, request: Request) -> dict[str, Any]:
    """End an upload; its parts are dropped."""
    return told(_platform(request).uploads.cancel(upload_id), _platform(request))


def told(upload: Upload, platform: Platform) -> dict[str, Any]:
    """What clients are told of an upload."""
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.size_bytes,
        "created_at": int(upload.created_at.timestamp()),
        "expires_at": int(upload.expires_at.timestamp()),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": upload.state,
        "file": file_told(platform.files.get(upload.file)) if upload.file else None,
    }


def _part_told(part: UploadPart) -> dict[str, Any]:
    return {
        "id": part.id,
        "object": "upload.part",
        "created_at": int(part.created_at.timestamp()),
        "upload_id": part.upload,
    }


def _check(form: Form) -> None:
    if form.fields:
        faults = "\n".join(f"unknown field {name!r}" for name in sorted(form.fields))
        raise InvalidInput(faults, hint=f"Send nothing but the part `{PART_FIELD}`.")


def _platform(request: Request) -> Platform:
    return backend_of(request).platform
