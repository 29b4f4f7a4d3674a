"""Worker processes on this machine: started by module name, followed line by line, ended for sure."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from fettle.clusters.frames import error_from
from fettle.clusters.processes import ProcessId, end_group
from fettle.errors import StorageFailed, WorkerDied
from fettle.types.record import Record

log = logging.getLogger(__name__)
OnEvent = Callable[[dict[str, Any]], None]
_TAIL_BYTES = 8192
#: Variables of the environment that no worker needs.
SECRETS = ("FETTLE_API_KEY", "FETTLE_DATABASE_URL", "HF_TOKEN")


class Worker:
    """A running worker: its events, its log, its end."""

    def __init__(self, process: "subprocess.Popen[str]", module: str, log_path: Path) -> None:
        self._process, self.module, self.log_path = process, module, log_path
        self.identity = ProcessId.of(process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.terminate()

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group and session."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def events(self) -> Iterator[dict[str, Any]]:
        """What it says, an event per line of its standard output, until it ends; other lines go to the log."""
        for line in self._process.stdout or ():
            event = _parsed(line)
            if event is None:
                log.info("worker printed", extra={"module": self.module, "line": line.rstrip()})
            else:
                yield event

    def result(self, on_event: OnEvent) -> dict[str, Any]:
        """Follow it to its end; what its "result" event holds. Its other events go to `on_event`.

        Raises:
            FettleError: the error that it told.
            WorkerDied: it ended without result or error; with its exit code and last words.
        """
        result: dict[str, Any] | None = None
        for event in self.events():
            match event.get("type"):
                case "result":
                    result = {name: value for name, value in event.items() if name != "type"}
                case "error":
                    raise error_from(event)
                case _:
                    on_event(event)
        code = self.wait()
        if result is None or code != 0:
            raise self.death()
        return result

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Its exit code, once it has ended (negative: the signal that ended it)."""
        return self._process.wait(timeout_seconds)

    def terminate(self, grace_seconds: float = 10) -> None:
        """End it with all its children: TERM, then KILL after the grace period."""
        if self.is_alive:
            end_group(self.identity, grace_seconds)
        self.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def death(self) -> WorkerDied:
        """The error that tells how it ended."""
        code = self.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        words = self.last_words()
        told = f":\n{words}" if words else " without a word"
        hint = f"Its whole log: {self.log_path}"
        if code == -9:
            hint = f"Somebody killed it, or the machine ran out of memory. {hint}"
        return WorkerDied(f"the worker {self.module} {how}{told}", hint=hint)

    def last_words(self, num_lines: int = 12) -> str:
        """The end of its log."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"(its log cannot be read: {error})"
        return "\n".join(lines[-num_lines:])


def start_worker(
    module: str,
    spec: Record,
    folder: Path,
    *,
    log_path: Path,
    threads: int,
    has_events: bool = True,
    pass_fds: Sequence[int] = (),
) -> Worker:
    """Start `python -m module SPEC` in a session of its own; the spec is written into `folder`.

    Args:
        module: what to run; its one argument is the path of the spec.
        spec: what it is told, as JSON.
        folder: where the spec goes; made if needed.
        log_path: where its standard error goes (and its standard output, when it has no events).
        threads: CPU threads that it may use.
        has_events: its standard output is followed.
        pass_fds: file descriptors that it inherits.

    Raises:
        StorageFailed: the spec or the log cannot be written.
    """
    spec_path = folder / f"{module.rpartition('.')[2]}.json"
    try:
        for needed in (folder, log_path.parent):
            needed.mkdir(parents=True, exist_ok=True)
        spec_path.write_text(spec.model_dump_json(indent=1), encoding="utf-8")
        with log_path.open("ab") as errors:
            return Worker(_process(module, spec_path, errors.fileno(), threads, has_events, pass_fds), module, log_path)
    except OSError as error:
        raise StorageFailed(f"the worker {module} cannot be started: {error}") from error


def _process(
    module: str, spec_path: Path, log_fd: int, threads: int, has_events: bool, pass_fds: Sequence[int]
) -> "subprocess.Popen[str]":
    # -P: the folder in which the user happens to be must not hide installed modules.
    command = [sys.executable, "-P", "-m", module, str(spec_path)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if has_events else log_fd,
        stderr=log_fd,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=_environment(threads),
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )


def _environment(threads: int) -> dict[str, str]:
    """The parent's environment without its secrets, and the number of threads for every library that has some."""
    kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    switches = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    # Threads that wait for each other by spinning starve on cores that others use too (a server beside a tuning job):
    # a short spin made a small tuning run on a busy machine three times as fast.
    return {"GOMP_SPINCOUNT": "1000"} | kept | counts | switches


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "type" in event else None
