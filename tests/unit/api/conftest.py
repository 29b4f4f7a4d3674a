import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import openai
import pytest

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.api.server import Server, listening
from fettle.services.platform import Platform, WorkerModules
from fettle.settings import Settings
from fettle.testing.model_files import write_model_files
from fettle.testing.scripted import ScriptedPlatform

KEY = "fettle-test"
UNIT = Path(__file__).parents[1]
WORKERS = WorkerModules(tune="scripted_tuner", evaluate="scripted_evaluator", engine="echo_engine")


class Served:
    """A platform behind a real server in this event loop."""

    def __init__(self, platform, port):
        self.platform, self.engines = platform, platform.engines
        self.url = f"http://127.0.0.1:{port}"

    def client(self, key=KEY, max_retries=0):
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=max_retries)


@asynccontextmanager
async def serving(platform=None, **limits) -> AsyncIterator[Served]:
    scripted = ScriptedPlatform()
    platform = platform or scripted
    with listening("127.0.0.1", 0) as connection:
        started = asyncio.Event()
        app = create_app(platform, KeyCheck.of(KEY), **limits)
        server = Server(app, started.set, on_ending=app.state.ending.set)
        task = asyncio.create_task(server.serve([connection]))
        await started.wait()
        try:
            yield Served(platform, connection.getsockname()[1])
        finally:
            scripted.engines.go_on.set()
            server.should_exit = True
            await task


@pytest.fixture(name="serving")
def _serving():
    return serving


@pytest.fixture
def platform(tmp_path, monkeypatch):
    """A whole platform whose workers are small programs, with the base model `small`."""
    folders = [str(UNIT / name / "programs") for name in ("services", "clusters")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    with Platform(Settings(home=tmp_path / "home", threads=1), WORKERS) as opened:
        opened.base_models.pull(write_model_files(tmp_path / "small"))
        yield opened


@pytest.fixture
def until():
    return _until


async def _until(condition, timeout_seconds=30):
    """Wait for a condition; fails when it does not come."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():
            await asyncio.sleep(0.005)
