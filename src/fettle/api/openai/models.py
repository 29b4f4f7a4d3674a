"""GET /v1/models and /v1/models/{name}."""

from typing import Any

from fastapi import APIRouter, Request

from fettle.api.backend import Platform, backend_of
from fettle.errors import unknown
from fettle.types.resources import BaseModelEntry, CustomModel

router = APIRouter(prefix="/v1", tags=["OpenAI"])


@router.get("/models")
def list_models(request: Request) -> dict[str, Any]:
    """All models that can be named in `model`."""
    return {"object": "list", "data": list(models_by_name(backend_of(request).platform).values())}


# `:path`, as names may hold slashes, which some clients escape and some do not.
@router.get("/models/{name:path}")
def retrieve(name: str, request: Request) -> dict[str, Any]:
    """One model."""
    models = models_by_name(backend_of(request).platform)
    if name not in models:
        raise unknown("model", name, models, param="model")
    return models[name]


def models_by_name(platform: Platform) -> dict[str, dict[str, Any]]:
    """Every name that a request can use: base models, custom models, and each of their versions."""
    customs = sorted((m for m in platform.custom_models.list() if m.state == "active"), key=lambda m: m.version)
    newest = {model.name: _custom(model.name, model) for model in customs}
    versions = {model.full_name: _custom(model.full_name, model) for model in customs}
    return {base.name: _base(base) for base in platform.base_models.list()} | newest | versions


def _base(base: BaseModelEntry) -> dict[str, Any]:
    return {"id": base.name, "object": "model", "created": 0, "owned_by": "fettle", "max_model_len": base.context}


def _custom(name: str, model: CustomModel) -> dict[str, Any]:
    created = int(model.created_at.timestamp())
    about = {"id": name, "object": "model", "created": created, "owned_by": "local"}
    return about | {"root": model.full_name, "parent": model.base}
