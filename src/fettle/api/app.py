"""The HTTP application: routes, who may call them, errors, and engines that live as long as it does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from threading import Event

from fastapi import Depends, FastAPI

from fettle.api import classify, health, native, openai, rerank, tokenize
from fettle.api.auth import Authentication, KeyCheck
from fettle.api.backend import Backends, Installation
from fettle.api.errors import ERRORS, add_error_handlers
from fettle.api.metrics import Meters
from fettle.api.middleware import Envelope
from fettle.api.openai.batch_lines import BatchLines
from fettle.services.batch_runner import BatchRunner

#: Routes that need a key.
KEYED = (health.router, openai.router, native.router, classify.router, rerank.router, tokenize.router)
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_UPLOAD_BYTES = 512 * 1024 * 1024
MAX_RUNNING = 1024


def create_app(
    platform: Installation,
    key: KeyCheck,
    *,
    preload: Sequence[str] = (),
    max_body_bytes: int = MAX_BODY_BYTES,
    max_upload_bytes: int = MAX_UPLOAD_BYTES,
    max_running: int = MAX_RUNNING,
) -> FastAPI:
    """The application that serves `platform`.

    Args:
        platform: where models and engines are; its engines start and stop with the application.
        key: the installation's own; projects' keys may call too, and health routes are open to all.
        preload: models that are loaded at once; others when they are first asked.
        max_body_bytes: longest request that is read.
        max_upload_bytes: longest upload of a file that is read.
        max_running: prompts that are answered or wait at once; more are refused.
    """
    meters = Meters()
    # No pages of documentation: they load their scripts from elsewhere. The document is among the routes with a key.
    app = FastAPI(title="Fettle", version=version("fettle-ai"), lifespan=_lifespan, openapi_url=None)
    app.state.backends = backends = Backends(platform, meters, max_running)
    app.state.platform, app.state.preload = platform, preload
    # Set when the server is about to end: who follows something that has no end must not hold it up.
    app.state.ending = Event()
    app.state.batch_runner = BatchRunner(platform.everywhere.batches, BatchLines(backends))
    app.state.max_body_bytes, app.state.max_upload_bytes = max_body_bytes, max_upload_bytes
    app.add_middleware(Envelope, meters=meters)
    add_error_handlers(app)
    app.include_router(health.open_router)
    for router in KEYED:
        app.include_router(router, dependencies=[Depends(Authentication(key, platform.keys))], responses=ERRORS)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    platform = app.state.platform
    await platform.engines.start(app.state.preload)
    await asyncio.to_thread(platform.supervisor.start)
    app.state.batch_runner.start()
    platform.engine_keeper.start()
    try:
        yield
    finally:
        await platform.engine_keeper.stop()
        await app.state.batch_runner.stop()
        await asyncio.gather(platform.engines.stop(), asyncio.to_thread(platform.supervisor.stop))
