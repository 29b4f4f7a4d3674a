import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import pytest

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.api.server import Server, listening
from fettle.testing.scripted import ScriptedPlatform

KEY = "fettle-test"


class Served:
    """A scripted platform behind a real server in this event loop."""

    def __init__(self, platform, port):
        self.platform, self.engines = platform, platform.engines
        self.url = f"http://127.0.0.1:{port}"

    def client(self, key=KEY, max_retries=0):
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=max_retries)


@asynccontextmanager
async def serving(**limits) -> AsyncIterator[Served]:
    platform = ScriptedPlatform()
    with listening("127.0.0.1", 0) as connection:
        started = asyncio.Event()
        server = Server(create_app(platform, KeyCheck.of(KEY), **limits), started.set)
        task = asyncio.create_task(server.serve([connection]))
        await started.wait()
        try:
            yield Served(platform, connection.getsockname()[1])
        finally:
            platform.engines.release.set()
            server.should_exit = True
            await task


@pytest.fixture(name="serving")
def _serving():
    return serving


@pytest.fixture
def until():
    return _until


async def _until(condition, timeout_seconds=30):
    """Wait for a condition; fails when it does not come."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():
            await asyncio.sleep(0.005)
