"""The native dialect, /api/v1: every resource with one set of conventions."""

from fastapi import APIRouter

from fettle.api.native import clusters, compare, endpoints, jobs, keys, measures, models, sweeps

router = APIRouter(prefix="/api/v1")
for part in (clusters, compare, endpoints, jobs, sweeps, measures, models, keys):
    router.include_router(part.router)
