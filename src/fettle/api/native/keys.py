"""/api/v1/keys, /projects and /audit: who may call, for whom, and who has changed what."""

import asyncio
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from fettle.api.backend import Installation
from fettle.api.native.conventions import After, Limit, Page, RepeatKey, asked, once, page
from fettle.api.openai.shapes import schema
from fettle.api.permissions import needs, principal_of
from fettle.errors import Forbidden
from fettle.services.keys import check_may_give
from fettle.types.access import DEFAULT_PROJECT, AuditEvent, KeyChange, KeySpec, KeyTold, Principal, Project
from fettle.types.ids import MAX_NUMBER
from fettle.types.record import Record

router = APIRouter(tags=["Access"])
_KEYS, _PROJECTS, _AUDIT = [needs("keys:write")], [needs("projects:write")], [needs("audit:read")]


class NewKey(Record):
    """A key that was just made."""

    api_key: str = Field(description="told this once, and stored nowhere")
    key: KeyTold


class ProjectOrder(Record):
    """What a project is to be."""

    name: str
    description: str = Field(default="", max_length=512)


# No Idempotency-Key: its answer would have to be stored, and the key with it.
@router.post("/keys", status_code=201, openapi_extra=schema(KeySpec), dependencies=_KEYS)
async def create_key(request: Request) -> NewKey:
    """Make a key; it may nothing that the caller may not."""
    spec, principal = await asked(KeySpec, request), principal_of(request)
    spec = spec.model_copy(update={"project_id": _project(principal, spec)})
    check_may_give(principal, spec)
    made, key = await asyncio.to_thread(_platform(request).keys.create, spec)
    return NewKey(api_key=key, key=made.told)


@router.get("/keys", dependencies=_KEYS)
def list_keys(request: Request, after: After = None, limit: Limit = 20) -> Page[KeyTold]:
    """The project's keys, the newest first; of all projects for administrators of the default one."""
    found = _platform(request).keys.page(after=after, limit=limit + 1, project=_own(request))
    return page([key.told for key in found], limit, lambda one: one.id)


@router.post("/keys/{key}/revoke", response_model=KeyTold, dependencies=_KEYS)
async def revoke_key(key: str, request: Request, repeat: RepeatKey = None) -> Response:
    """End a key at once, by its id or by how it begins."""
    keys, own = _platform(request).keys, _own(request)
    return await once(request, repeat, None, lambda: asyncio.to_thread(lambda: keys.revoke(key, own).told))


@router.patch("/keys/{key}", openapi_extra=schema(KeyChange), dependencies=_KEYS)
async def change_key(key: str, request: Request) -> KeyTold:
    """Give a key other limits, by its id or by how it begins; what is not named stays, and null takes a limit away."""
    changes, keys = await asked(KeyChange, request), _platform(request).keys
    change = partial(keys.change, key, changes, principal_of(request), _own(request))
    return (await asyncio.to_thread(change)).told


@router.post(
    "/projects", status_code=201, response_model=Project, openapi_extra=schema(ProjectOrder), dependencies=_PROJECTS
)
async def create_project(request: Request, repeat: RepeatKey = None) -> Response:
    """Make a project, whose keys see nothing of the others'."""
    order, projects = await asked(ProjectOrder, request), _platform(request).projects
    work = partial(asyncio.to_thread, projects.create, order.name, order.description)
    return await once(request, repeat, order, work, 201)


@router.get("/projects", dependencies=_PROJECTS)
def list_projects(request: Request, after: After = None, limit: Limit = 20) -> Page[Project]:
    """The projects, the oldest first."""
    return page(_platform(request).projects.page(after=after, limit=limit + 1), limit, lambda one: one.id)


@router.delete("/projects/{project}", dependencies=_PROJECTS)
def delete_project(project: str, request: Request) -> Project:
    """End a project in which nothing is at work; its keys open nothing any more, and nobody sees its rows."""
    return _platform(request).projects.delete(project)


@router.get("/audit", dependencies=_AUDIT)
def list_changes(
    request: Request,
    after: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="number of the last change of the page before")] = 0,
    limit: Limit = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="the oldest change first, or the newest")] = "asc",
    project: Annotated[str | None, Query(description="of this project only")] = None,
) -> Page[AuditEvent]:
    """Who has changed what in the project; in all for administrators of the default one."""
    log, place = _platform(request).audit, _own(request) or project
    if order == "asc":
        return page(log.page(after=after, limit=limit + 1, project_id=place), limit, lambda one: str(one.id))
    found = log.newest(before=after or None, limit=limit + 1, project_id=place)[::-1]
    return page(found, limit, lambda one: str(one.id))


def _project(principal: Principal, spec: KeySpec) -> str:
    """The project of a new key; the caller's own where he names none."""
    if principal.project_id == DEFAULT_PROJECT or "project_id" not in spec.model_fields_set:
        return spec.project_id if principal.project_id == DEFAULT_PROJECT else principal.project_id
    if spec.project_id != principal.project_id:
        raise Forbidden("your key makes keys of its own project only", hint="Leave 'project_id' out.")
    return spec.project_id


def _own(request: Request) -> str | None:
    """The project that a caller administers; None: all of them."""
    project = principal_of(request).project_id
    return None if project == DEFAULT_PROJECT else project


def _platform(request: Request) -> Installation:
    platform: Installation = request.app.state.platform
    return platform
