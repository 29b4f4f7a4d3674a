"""Of several processes that ended badly, the one that made the others fail is told."""

import json
import signal
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from fettle.errors import InvalidInput, WorkerDied
from fettle.workers.ranks import cause, tell_launcher


def failures(*exit_codes: int) -> dict[int, ProcessFailure]:
    """Of each rank, how it ended."""
    return {rank: ProcessFailure(rank, 100 + rank, code, error_file="") for rank, code in enumerate(exit_codes) if code}


@pytest.mark.parametrize(
    ("exit_codes", "told"),
    [
        ((-signal.SIGTERM, -signal.SIGKILL), "process 1 of 2 (counted from 0) was killed by SIGKILL"),
        ((1, -signal.SIGSEGV), "process 1 of 2 (counted from 0) was killed by SIGSEGV"),
        ((-signal.SIGTERM, 3), "process 1 of 2 (counted from 0) had exit code 3"),
        ((1, 1), "process 0 of 2 (counted from 0) had exit code 1"),
        ((0, -signal.SIGTERM), "process 1 of 2 (counted from 0) was killed by SIGTERM"),
    ],
)
def test_who_made_the_others_fail_is_told(exit_codes: tuple[int, int], told: str, tmp_path: Path) -> None:
    error = cause(tmp_path, failures(*exit_codes), 2)
    assert isinstance(error, WorkerDied)
    assert error.message == told
    assert ("ran out of memory" in error.hint) == (-signal.SIGKILL in exit_codes)


def test_what_a_process_told_comes_before_how_it_ended(tmp_path: Path) -> None:
    for rank in (10, 2):
        tell_launcher(tmp_path, rank, {"code": "invalid_input", "message": f"bad rank {rank}", "hint": "use 8"})
    error = cause(tmp_path, failures(-signal.SIGKILL, 2), 2)
    assert isinstance(error, InvalidInput)
    assert (error.message, error.hint) == ("bad rank 2", "use 8")
    assert all(json.loads(path.read_text())["code"] == "invalid_input" for path in tmp_path.iterdir())
