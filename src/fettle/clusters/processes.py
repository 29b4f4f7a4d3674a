"""Which process is which: a pid and the moment it began, as pids are used again."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fettle.types.record import Record


class ProcessId(Record):
    """A process on this machine, not to be confused with a later one of the same pid."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The identity of a running process; `started` is "" when it has ended."""
        return cls(pid=pid, started=_started(pid))

    @property
    def is_alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return bool(self.started) and _started(self.pid) == self.started


def end_group(process: ProcessId, grace_seconds: float) -> None:
    """Ask a process and its children (it leads its group) to end; kill those that have not when it has, or in time."""
    if process.is_alive:
        _signal_group(process, signal.SIGTERM)
        ended(process, grace_seconds)
        # Also when it has ended: children may have outlived it, and while they do the number of the group is theirs.
        _signal_group(process, signal.SIGKILL)
        ended(process, grace_seconds)


def ended(process: ProcessId, timeout_seconds: float) -> bool:
    """Whether a process, not necessarily a child of ours, ends in time."""
    return wait_until(lambda: not process.is_alive, timeout_seconds)


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Whether a condition that nobody announces becomes true in time; it is looked at every 20 ms."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _signal_group(process: ProcessId, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _started(pid: int) -> str:
    """The start time of a live process, in a form that only says same or not; "" when there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _started_by_ps(pid)
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _started_by_ps(pid: int) -> str:
    import subprocess

    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return "" if told.startswith("Z") else told.partition(" ")[2].strip()
