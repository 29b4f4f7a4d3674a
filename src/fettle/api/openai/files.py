"""/v1/files: upload, list, read and delete files."""

import asyncio
from typing import Annotated, Any, Literal, cast, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse

from fettle.api.backend import backend_of
from fettle.api.forms import FILE_FIELD, FILE_PART, Form, form_document, read_form
from fettle.api.openai.ids import own, shown
from fettle.api.openai.pages import page
from fettle.api.permissions import needs
from fettle.errors import InvalidInput
from fettle.services.files import Files
from fettle.types.resources import FilePurpose, GivenPurpose, StoredFile

router = APIRouter(prefix="/v1/files", tags=["OpenAI"])
PURPOSES = get_args(GivenPurpose)
_BYTES = {"schema": {"type": "string", "format": "binary"}}
CONTENT: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": _BYTES, "text/csv": _BYTES}}}
UPLOAD = form_document(purpose={"type": "string", "enum": list(PURPOSES)}, **{FILE_FIELD: FILE_PART})


@router.post("", openapi_extra=UPLOAD, dependencies=[needs("files:write")])
async def upload(request: Request) -> dict[str, Any]:
    """Keep a file of examples, or of a batch's requests."""
    with _files(request).draft() as path:
        form = await read_form(request, path, request.app.state.max_upload_bytes)
        purpose = _purpose(form)
        assert form.filename is not None, "a whole form has one"
        return told(await asyncio.to_thread(_files(request).keep, path, form.filename[-255:], purpose))


@router.get("", dependencies=[needs("files:read")])
def list_files(
    request: Request,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    purpose: FilePurpose | None = None,
) -> dict[str, Any]:
    """The files, the newest first."""
    begin, is_oldest_first = after and own("file", after), order == "asc"

    def fetch(number: int) -> list[StoredFile]:
        return _files(request).page(after=begin, limit=number, is_oldest_first=is_oldest_first, purpose=purpose)

    return page(limit, fetch, told)


@router.get("/{file_id}", dependencies=[needs("files:read")])
def retrieve(file_id: str, request: Request) -> dict[str, Any]:
    """One file."""
    return told(_files(request).get(own("file", file_id)))


@router.get("/{file_id}/content", response_class=FileResponse, responses=CONTENT, dependencies=[needs("files:read")])
def content(file_id: str, request: Request) -> FileResponse:
    """What is in a file."""
    file = _files(request).get(own("file", file_id))
    is_table = file.purpose == "fine-tune-results"
    return FileResponse(_files(request).path(file), media_type="text/csv" if is_table else "application/octet-stream")


@router.delete("/{file_id}", dependencies=[needs("files:write")])
def delete(file_id: str, request: Request) -> dict[str, Any]:
    """Delete a file; jobs that were made of it keep their own copy."""
    return {"id": shown(_files(request).delete(own("file", file_id)).id), "object": "file", "deleted": True}


def told(file: StoredFile) -> dict[str, Any]:
    """What clients are told of a file."""
    return {
        "id": shown(file.id),
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.created_at.timestamp()),
        "filename": file.filename,
        "purpose": file.purpose,
        # A job says what is wrong with the rows: only there it is known what they are for.
        "status": "processed",
    }


def _purpose(form: Form) -> GivenPurpose:
    faults = [f"unknown field {name!r}" for name in form.fields.keys() - {"purpose"}]
    purpose = next((one for one in PURPOSES if one == form.fields.get("purpose")), None)
    if purpose is None:
        told = " or ".join(repr(one) for one in PURPOSES)
        faults.append(f"'purpose' is {form.fields.get('purpose')!r}: {told} was expected")
    if faults:
        raise InvalidInput("\n".join(sorted(faults)), hint="Leave out what is not known here.", param="purpose")
    assert purpose is not None, "else there was a fault"
    return cast("GivenPurpose", purpose)


def _files(request: Request) -> Files:
    return backend_of(request).platform.files
