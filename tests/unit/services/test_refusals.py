"""Refused requests are in the audit log, and a flood of them cannot fill the disk."""

import pytest

from fettle.errors import Forbidden, StorageFailed
from fettle.services.platform import Platform
from fettle.services.refusals import PER_DAY, PER_MINUTE, Refusals
from fettle.types.access import Actor

STRANGER = Actor(who="", origin="10.0.0.7", request_id="req_1")
REFUSED = Forbidden("no")


class Written:
    """An audit log in memory."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.details: list[dict[str, object]] = []
        self.failure = failure

    def refused(self, who: Actor, project_id: str, route: str, detail: dict[str, object]) -> None:
        if self.failure:
            raise self.failure
        self.details.append(detail)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_who_was_refused_what_is_written_down_and_stays(platform: Platform) -> None:
    platform.refusals.note(STRANGER, "GET /v1/files", REFUSED, "default")
    told = platform.audit.newest(limit=1)[0]
    assert (told.action, told.kind, told.subject) == ("refused", "request", "GET /v1/files")
    assert (told.who, told.origin, told.request_id) == ("", "10.0.0.7", "req_1")
    assert told.detail == {"status": 403, "code": "forbidden", "left_out_before": 0}


def test_a_flood_is_counted_and_not_written() -> None:
    log, clock = Written(), Clock()
    refusals = Refusals(log, clock)  # type: ignore[arg-type]
    for _ in range(PER_MINUTE + 500):
        refusals.note(STRANGER, "GET /v1/files", REFUSED, "default")
    assert len(log.details) == PER_MINUTE
    clock.seconds = 60
    refusals.note(STRANGER, "GET /v1/files", REFUSED, "default")
    assert log.details[-1]["left_out_before"] == 500


def test_a_flood_that_lasts_for_days_is_bounded_by_the_day() -> None:
    log, clock = Written(), Clock()
    refusals = Refusals(log, clock)  # type: ignore[arg-type]
    num_sent = 0
    for clock.seconds in range(0, 2 * 86400, 20):
        for _ in range(10):
            refusals.note(STRANGER, "GET /v1/files", REFUSED, "default")
            num_sent += 1
    assert len(log.details) == 2 * PER_DAY
    told = len(log.details) + sum(int(str(one["left_out_before"])) for one in log.details)
    assert num_sent - told == refusals._num_left_out, "each one is written, told by the next, or waits to be"


def test_a_full_disk_does_not_turn_a_refusal_into_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    Refusals(Written(StorageFailed("full"))).note(STRANGER, "GET /v1/files", REFUSED, "default")  # type: ignore[arg-type]
    assert "could not be written down" in caplog.text
