"""/v1/models: list, find and delete what can be named in `model`."""

from typing import Any

from fastapi import APIRouter, Request

from fettle.api.backend import Platform, backend_of
from fettle.api.permissions import needs
from fettle.errors import InvalidInput, unknown
from fettle.types.endpoints import Endpoint
from fettle.types.resources import BaseModelEntry, CustomModel

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.get("/models", dependencies=[needs("models:read")])
def list_models(request: Request) -> dict[str, Any]:
    """All models that can be named in `model`."""
    return {"object": "list", "data": list(models_by_name(backend_of(request).platform).values())}


# `:path`, as names may hold slashes, which some clients escape and some do not.
@router.get("/models/{name:path}", dependencies=[needs("models:read")])
def retrieve(name: str, request: Request) -> dict[str, Any]:
    """One model."""
    models = models_by_name(backend_of(request).platform)
    if name not in models:
        raise unknown("model", name, models, param="model")
    return models[name]


@router.delete("/models/{name:path}", dependencies=[needs("models:write")])
def delete(name: str, request: Request) -> dict[str, Any]:
    """Delete one version of a custom model."""
    platform = backend_of(request).platform
    if name in {base.name for base in platform.base_models.list()}:
        raise InvalidInput(f"{name!r} is a base model", hint="Only tuned models can be deleted here.", param="model")
    platform.custom_models.delete(name)
    return {"id": name, "object": "model", "deleted": True}


def models_by_name(platform: Platform) -> dict[str, dict[str, Any]]:
    """Every name that a request can use: models, each version of the custom ones, aliases and active endpoints."""
    customs = sorted((m for m in platform.custom_models.list() if m.state == "active"), key=lambda m: m.version)
    newest = {model.name: _custom(model.name, model) for model in customs}
    versions = {model.full_name: _custom(model.full_name, model) for model in customs}
    aliases = {model.alias: _custom(model.alias, model) for model in customs if model.alias}
    bases = {base.name: _base(base) for base in platform.base_models.list()}
    endpoints = {one.name: _endpoint(one) for one in platform.endpoints.list() if one.state == "active"}
    return bases | newest | versions | aliases | endpoints


def _base(base: BaseModelEntry) -> dict[str, Any]:
    return {"id": base.name, "object": "model", "created": 0, "owned_by": "fettle", "max_model_len": base.context}


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    created = int(endpoint.created_at.timestamp())
    about = {"id": endpoint.name, "object": "model", "created": created, "owned_by": "local"}
    return about | {"root": endpoint.model, "parent": endpoint.base}


def _custom(name: str, model: CustomModel) -> dict[str, Any]:
    created = int(model.created_at.timestamp())
    about = {"id": name, "object": "model", "created": created, "owned_by": "local"}
    return about | {"root": model.full_name, "parent": model.base}
