"""What goes on beside the load: labels move, endpoints go off and on, engines are killed."""

import asyncio
import os
import random
import signal
import time
from contextlib import suppress

import httpx
import psutil
from clients import Findings
from home import VERSIONS, num_versions
from names import ENDPOINTS, LABEL, Names
from server import Server

from fettle.testing.installation import BASE

CLUSTER = "stage"


class Operator:
    """One who moves labels and switches endpoints, over the native API."""

    def __init__(self, http: httpx.AsyncClient, names: Names, findings: Findings, *, deadline_seconds: float) -> None:
        self._http, self._names, self._findings = http, names, findings
        self._deadline_seconds, self._draw = deadline_seconds, random.Random()

    async def prepare(self) -> None:
        """The labels, a hosting cluster and the endpoints, all active."""
        for name in VERSIONS:
            await self._post("version-labels", {"model": f"{name}:1", "label": LABEL})
        await self._post("clusters", {"name": CLUSTER, "type": "hosting", "base": BASE})
        for name, model in ENDPOINTS.items():
            await self._post("endpoints", {"name": name, "model": model, "cluster": CLUSTER})

    async def run(self, until: float, every_seconds: float) -> None:
        """Change something until a moment, every so many seconds."""
        while time.monotonic() < until:
            await asyncio.sleep(self._draw.expovariate(1 / every_seconds))
            await (self._move_a_label() if self._draw.random() < 0.5 else self._switch_an_endpoint())

    async def finish(self) -> None:
        """Have all endpoints answer again."""
        for name, state in self._names.active.items():
            if not state.now:
                await self._switch(name)

    async def _move_a_label(self) -> None:
        name = self._draw.choice(sorted(VERSIONS))
        label, version = self._names.labels[name], self._draw.randint(1, num_versions(name))
        with label.change(version):
            await self._post("version-labels", {"model": f"{name}:{version}", "label": LABEL})
        self._findings.counts["labels moved"] += 1

    async def _switch_an_endpoint(self) -> None:
        await self._switch(self._draw.choice(sorted(ENDPOINTS)))

    async def _switch(self, name: str) -> None:
        state = self._names.active[name]
        verb = "deactivate" if state.now else "activate"
        with state.change(not state.now):
            await self._post(f"endpoints/{name}/{verb}")
        self._findings.counts[f"endpoints {verb}d"] += 1

    async def _post(self, path: str, body: dict[str, str] | None = None) -> None:
        async with asyncio.timeout(self._deadline_seconds):
            answer = await self._http.post(f"/api/v1/{path}", json=body)
        if answer.is_error:
            raise SystemExit(f"{path} {body} was refused: {answer.text}")


async def kill_engines(
    server: Server, names: Names, findings: Findings, *, until: float, every_seconds: float, deadline_seconds: float
) -> None:
    """Kill an engine with SIGKILL until a moment, every so many seconds; each must be back before the deadline."""
    draw = random.Random()
    while time.monotonic() + every_seconds < until:
        await asyncio.sleep(draw.uniform(0.5, 1.5) * every_seconds)
        engines = server.engines()
        if not engines:
            continue
        pid = draw.choice(sorted(engines))
        with names.is_hurt.change(True), suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with names.is_hurt.change(False):
            if not await _is_back(server, engines[pid], pid, deadline_seconds):
                findings.fault(f"{engines[pid]} was killed and not back in {deadline_seconds:.0f} s")
        findings.counts["engines killed"] += 1


async def _is_back(server: Server, engine: str, killed: int, deadline_seconds: float) -> bool:
    """Whether another process serves what the killed one did, before its time is over."""
    async with server.http() as http:
        deadline = time.monotonic() + deadline_seconds
        while time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            # The server has looked at how it ended, so it knows that it did.
            is_noticed = not psutil.pid_exists(killed)
            is_served = engine in {name for pid, name in server.engines().items() if pid != killed}
            if is_noticed and is_served and (await http.get("/readyz")).status_code == 200:
                return True
    return False
