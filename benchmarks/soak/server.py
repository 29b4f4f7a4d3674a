"""`fettle up` in a process of its own, seen from outside: its API, its processes, its counters."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

KEY = "fettle-soak-key"
STOP_SECONDS = 180
Gauges = dict[str, dict[str, float]]


class Server:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def http(self, **settings: object) -> httpx.AsyncClient:
        """A client with the key."""
        headers = {"authorization": f"Bearer {KEY}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=None, **settings)  # type: ignore[arg-type]

    def engines(self) -> dict[int, str]:
        """The engine processes by pid, with the name of what they serve."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                command = child.cmdline()
            except psutil.Error:
                continue
            if "fettle.workers.engine" in command:
                found[child.pid] = Path(command[-1]).parent.name
        return found

    def memory(self) -> dict[int, int]:
        """Bytes of memory that the server and its engines have for themselves, by pid."""
        found = {}
        for pid in (self.process.pid, *self.engines()):
            try:
                found[pid] = psutil.Process(pid).memory_info().rss
            except psutil.Error:
                continue
        return found


@contextmanager
def serving(home: Path, base: str) -> Iterator[Server]:
    """A server on a home, until the end of the block."""
    command = [sys.executable, "-m", "fettle", "up", "--port", "0", "--base", base, "--json"]
    environment = os.environ | {"FETTLE_HOME": str(home), "FETTLE_API_KEY": KEY}
    with (
        (home / "up.log").open("ab") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout
        told = process.stdout.readline()
        if not told:
            raise SystemExit((home / "up.log").read_text())
        try:
            yield Server(process, json.loads(told)["base_url"].removesuffix("/v1"))
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def gauges(page: str) -> Gauges:
    """What each engine says of itself, by engine, from the server's page of counters; "" has the server's own."""
    found: Gauges = {"": {}}
    for name, labels, value in re.findall(r"^(fettle_\w+?)(?:\{(.*?)\})? (\S+)$", page, re.MULTILINE):
        told = dict(re.findall(r'(\w+)="(.*?)"', labels))
        if name == "fettle_engine":
            found.setdefault(told["engine"], {})[told["what"]] = float(value)
        elif not told:
            found[""][name] = float(value)
    return found
