import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fettle.clusters.lease import if_free, leased
from fettle.clusters.processes import ProcessId, wait_until
from fettle.errors import Conflict

RUNNER = """
import signal, subprocess, sys
from pathlib import Path
from fettle.clusters.lease import leased
from fettle.clusters.processes import ProcessId

with leased(Path(sys.argv[1]), "the job") as lease:
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    worker = subprocess.Popen(command, pass_fds=[lease.fd], start_new_session=True)
    lease.lend(ProcessId.of(worker.pid))
    print(worker.pid, flush=True)
    signal.pause()
"""


def test_only_one_has_it_at_a_time(tmp_path: Path) -> None:
    with leased(tmp_path, "the job"):
        with if_free(tmp_path) as is_free:
            assert not is_free
        told = f"the job is being run by another process .process {os.getpid()}"
        with pytest.raises(Conflict, match=told), leased(tmp_path, "the job"):
            pass
    with leased(tmp_path, "the job"), if_free(tmp_path) as is_free:
        assert not is_free
    with if_free(tmp_path) as is_free:
        assert is_free


def test_a_worker_whose_runner_was_killed_is_ended_by_the_next(tmp_path: Path) -> None:
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    worker = ProcessId.of(int(runner.stdout.readline()))
    runner.stdout.close()
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    assert worker.is_alive
    with if_free(tmp_path) as is_free:
        assert not is_free, "the worker still has it"
    with leased(tmp_path, "the job"):
        assert wait_until(lambda: not worker.is_alive, timeout_seconds=10)
