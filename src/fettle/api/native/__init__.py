"""The native dialect, /api/v1: every resource with one set of conventions."""

from fastapi import APIRouter

from fettle.api.native import clusters, endpoints, jobs, keys, models
from fettle.api.native.conventions import ERRORS

router = APIRouter(prefix="/api/v1", responses=ERRORS)
for part in (clusters, endpoints, jobs, models, keys):
    router.include_router(part.router)
