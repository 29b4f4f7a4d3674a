"""The real HTTP server in a process of its own, for as long as a block runs."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from fettle.errors import Unavailable

START_SECONDS = 120
STOP_SECONDS = 20
_POLL_SECONDS = 0.1


class Address(NamedTuple):
    """Where the server is and the key that it wants."""

    url: str
    api_key: str


@contextmanager
def running_server(home: Path, log_path: Path) -> Iterator[Address]:
    """`fettle up` on a free loopback port; it is asked to end when the block does.

    Raises:
        Unavailable: it did not become ready; with its last words.
    """
    port, key = free_port(), f"quickstart-{secrets.token_urlsafe(24)}"
    with log_path.open("wb") as log:
        environment = os.environ | {"FETTLE_HOME": str(home), "FETTLE_API_KEY": key, "FETTLE_PORT": str(port)}
        command = [sys.executable, "-m", "fettle", "up"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(process, url, log_path)
        yield Address(url, key)
    finally:
        _stop(process)


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            words = "\n".join(log_path.read_text(errors="replace").splitlines()[-5:])
            raise Unavailable(f"the server did not start:\n{words}", hint=f"Its whole log: {log_path}")
        time.sleep(_POLL_SECONDS)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
