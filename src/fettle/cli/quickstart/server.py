"""The real HTTP server in a process of its own, for as long as a block runs."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from fettle.errors import Unavailable

READY_SECONDS = 120
STOP_SECONDS = 40
_POLL_SECONDS = 0.1
Process = subprocess.Popen[str]


class Address(NamedTuple):
    """Where the server is (what OpenAI's clients call `base_url`) and the key that it wants."""

    url: str
    api_key: str


@contextmanager
def running_server(home: Path, log_path: Path) -> Iterator[Address]:
    """`fettle up` on a free loopback port; it is asked to end when the block does.

    Raises:
        Unavailable: it did not become ready; with its last words.
    """
    key = f"quickstart-{secrets.token_urlsafe(24)}"
    environment = os.environ | {"FETTLE_HOME": str(home), "FETTLE_API_KEY": key}
    command = [sys.executable, "-P", "-m", "fettle", "up", "--host", "127.0.0.1", "--port", "0", "--json"]
    with (
        log_path.open("w", encoding="utf-8") as log,
        Process(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            url = _announced(process, log_path)
            _wait_until_ready(process, url, log_path)
            yield Address(url, key)
        finally:
            _stop(process)


def _announced(process: Process, log_path: Path) -> str:
    """The address that the server prints once it listens."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise _not_started(log_path)
    return str(json.loads(line)["base_url"])


def _wait_until_ready(process: Process, url: str, log_path: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise _not_started(log_path)
        time.sleep(_POLL_SECONDS)


def _is_ready(url: str) -> bool:
    try:
        # trust_env: a proxy from the environment has no business between this machine and itself.
        return httpx.get(f"{url.removesuffix('/v1')}/readyz", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _not_started(log_path: Path) -> Unavailable:
    words = "\n".join(log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
    return Unavailable(f"the server did not start:\n{words}", hint=f"Its whole log: {log_path}")


def _stop(process: Process) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
