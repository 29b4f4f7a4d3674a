"""A contender's process: told what to load, then one round of requests after the other."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil
from environments import NotMeasured, environment, last_line
from plan import Contender

SCRIPTS = Path(__file__).parent / "contenders"
#: Longest time to load a model with its adapters, or to answer one round.
LIMIT_SECONDS = 600
END_SECONDS = 30


class Running:
    """A contender that has loaded its model."""

    def __init__(self, name: str, contender: Contender, job: dict[str, Any], log: Path) -> None:
        """Start it.

        Args:
            name: for people.
            contender: its script and where it runs.
            job: what it is to load.
            log: file for what it says.

        Raises:
            NotMeasured: its environment cannot be made, or it does not load.
        """
        self.name, self._log = name, log
        where = environment(contender.environment)
        with log.open("w") as told:
            self._process = subprocess.Popen(
                [where.python, SCRIPTS / contender.script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
            )
        self.loaded = self._ask(job | {"settings": {**contender.settings, **where.settings}})

    def answer(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> dict[str, Any]:
        """One round: its answers, facts, seconds and CPU seconds.

        Raises:
            NotMeasured: it failed, took too long, or gave too few tokens.
        """
        before = self._cpu_seconds()
        told = self._ask({"prompts": prompts, "num_new": num_new, "adapters": adapters})
        told["cpu_seconds"] = self._cpu_seconds() - before
        if [len(answer) for answer in told["answers"]] != [num_new] * len(prompts):
            raise NotMeasured(f"did not make {num_new} tokens for each prompt")
        return told

    def end(self) -> None:
        """End its process, which ends with its input."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with _deadline(self._process, END_SECONDS):
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def _is_there(self) -> bool:
        return self._process.poll() is None

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        with _deadline(self._process, LIMIT_SECONDS):
            try:
                self._process.stdin.write(json.dumps(asked) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                line = ""
            else:
                line = self._process.stdout.readline()
        if not line:
            raise NotMeasured(f"failed: {last_line(self._log.read_text(errors='replace'))}")
        told: dict[str, Any] = json.loads(line)
        return told

    def _cpu_seconds(self) -> float:
        """Of the process and all that it has started."""
        if not self._is_there:
            return 0.0
        parent = psutil.Process(self._process.pid)
        times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
        return float(sum(time.user + time.system for time in times))


@contextmanager
def _deadline(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    """Kill the process, with all that it has started, if what is inside takes longer."""
    timer = threading.Timer(seconds, _kill, [process])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(psutil.NoSuchProcess):
        for one in psutil.Process(process.pid).children(recursive=True):
            one.kill()
    process.kill()
