"""The platform as processes that can be killed: `fettle up`, and the tuners and engines that it has started."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

KEY = "fettle-faults-key"
TUNER, ENGINE = "fettle.workers.tune", "fettle.workers.engine"


class Server:
    """`fettle up` on a home folder, always at the same address, started again after each kill."""

    def __init__(self, home: Path, base: str) -> None:
        """The server of `home`; `start` starts it."""
        self.home, self._base, self.port = home, base, _free_port()
        self.num_starts = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """See that nothing outlives the benchmark."""
        if self._process and self._process.poll() is None:
            self.kill()
        for pid in workers(self.home):
            kill_one([pid])

    @property
    def url(self) -> str:
        """Where it answers, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; it answers once `wait_until_ready` returns."""
        command = [sys.executable, "-P", "-m", "fettle", "up", "--port", str(self.port), "--base", self._base, "--json"]
        settings = {"HOME": str(self.home), "API_KEY": KEY, "THREADS": "1", "MAX_TUNING_JOBS": "2", "DTYPE": "float32"}
        environment = os.environ | {f"FETTLE_{name}": value for name, value in settings.items()}
        with (self.home / "up.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        self.num_starts += 1

    def wait_until_ready(self) -> None:
        """Return once it can be asked.

        Raises:
            RuntimeError: it ended instead; with the end of its log.
        """
        assert self._process
        assert self._process.stdout
        told = self._process.stdout.readline()
        if not told:
            words = (self.home / "up.log").read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
            raise RuntimeError("\n".join([f"the server ended with {self._process.wait()} at its start:", *words]))
        json.loads(told)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end, as an administrator would; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self._process
        assert self._process.stdout
        self._process.send_signal(number)
        code = self._process.wait(600)
        self._process.stdout.close()
        return code


def workers(home: Path, module: str = "") -> list[int]:
    """The processes of this home that run a worker's module; of any kind, if none is named."""
    found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in found if _is_of(pid, home) and f"-m\0{module}" in _read(pid, "cmdline")]


def kill_one(pids: list[int]) -> bool:
    """Kill the first of these that still is there."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return True
    return False


def _is_of(pid: int, home: Path) -> bool:
    return f"FETTLE_HOME={home}\0" in _read(pid, "environ")


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:  # it has ended, or is another user's
        return ""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
