import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle.clusters.local import Worker, start_worker
from fettle.clusters.processes import ProcessId, wait_until
from fettle.errors import InvalidInput, StorageFailed, WorkerDied
from fettle.types.record import Record

Start = Callable[..., Worker]


class Script(Record):
    lines: tuple[str, ...]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def started(*lines: str, threads: int = 1) -> Worker:
        log_path = tmp_path / "logs" / "worker.log"
        return start_worker(
            "scripted_worker", Script(lines=lines), tmp_path / "work", log_path=log_path, threads=threads
        )

    return started


def result_of(worker: Worker) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    with worker:
        return worker.result(events.append), events


def test_events_come_in_order_and_the_result_at_the_end(start: Start) -> None:
    result, events = result_of(
        start(
            'say {"type": "step", "n": 1}',
            "print a stray line",
            'say {"type": "step", "n": 2}',
            'say {"type": "result", "x": 3}',
        )
    )
    assert [event["n"] for event in events] == [1, 2]
    assert result == {"x": 3}


def test_an_error_that_a_worker_tells_is_raised_as_what_it_was(start: Start) -> None:
    told = '{"type": "error", "code": "invalid_input", "message": "bad rank", "hint": "use 8", "param": "rank"}'
    with pytest.raises(InvalidInput, match="bad rank") as caught:
        result_of(start(f"say {told}", "exit 2"))
    assert (caught.value.hint, caught.value.param) == ("use 8", "rank")


def test_a_worker_that_ends_without_a_word_is_told_with_its_last_words(start: Start) -> None:
    with pytest.raises(WorkerDied, match=r"(?s)exit code 7.*out of cheese.*worker.log"):
        result_of(start("log out of cheese", "exit 7"))


def test_a_killed_worker_is_told_with_the_signal(start: Start) -> None:
    with pytest.raises(WorkerDied, match=r"(?s)signal 9.*memory"):
        result_of(start("kill"))


def test_a_result_followed_by_a_crash_is_no_result(start: Start) -> None:
    with pytest.raises(WorkerDied):
        result_of(start('say {"type": "result"}', "exit 1"))


def test_a_worker_leads_a_session_of_its_own_and_keeps_to_its_threads(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETTLE_API_KEY", "secret")
    lines = ["session", "environment OMP_NUM_THREADS", "environment FETTLE_API_KEY", 'say {"type": "result"}']
    _, events = result_of(start(*lines, threads=3))
    assert events == [
        {"type": "session", "leads": True},
        {"type": "environment", "value": "3"},
        {"type": "environment", "value": None},
    ]


def test_leaving_the_block_ends_the_worker(start: Start) -> None:
    with start("hold") as worker:
        assert next(worker.events()) == {"type": "holding"}
    assert worker.wait() == -signal.SIGTERM


def test_one_that_ignores_the_request_is_killed(start: Start) -> None:
    worker = start("ignore-term", "hold")
    assert next(worker.events()) == {"type": "holding"}
    worker.terminate(grace_seconds=0.1)
    assert worker.wait() == -signal.SIGKILL


def test_its_children_are_ended_with_it(start: Start) -> None:
    worker = start("child", "ignore-term", "hold")
    child = ProcessId.of(next(worker.events())["pid"])
    assert child.is_alive
    worker.terminate(grace_seconds=0.1)
    assert wait_until(lambda: not child.is_alive, timeout_seconds=10)


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where a folder should be")
    with pytest.raises(StorageFailed, match="cannot be started"):
        start_worker("scripted_worker", Script(lines=()), tmp_path, log_path=tmp_path / "logs" / "a.log", threads=1)


def test_a_process_is_told_from_a_later_one_of_the_same_pid() -> None:
    mine = ProcessId.of(os.getpid())
    assert mine.is_alive
    assert not mine.model_copy(update={"started": "1"}).is_alive
    assert not ProcessId.of(2**22 + 1).is_alive
