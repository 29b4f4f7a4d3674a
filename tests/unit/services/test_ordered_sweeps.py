"""Sweeps that were ordered over HTTP are run by the supervisor, as a whole, also on a cluster."""

from collections.abc import Callable

import pytest

from fettle.clusters.processes import wait_until
from fettle.errors import Conflict
from fettle.services.platform import Platform
from fettle.services.supervisor import Supervisor
from fettle.services.sweep_grid import grid_specs
from fettle.types.resources import Order
from tests.unit.services.conftest import Rows

SPECS = grid_specs({}, {"learning_rate": (0.001, 0.002)}, seeds=1, base="small", method="lora", name="tickets")


@pytest.fixture
def database_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """The file in the home: nothing here depends on which database it is."""
    monkeypatch.delenv("FETTLE_DATABASE_URL", raising=False)
    return ""


@pytest.fixture
def until(platform: Platform) -> Callable[..., None]:
    """Wait until the runs of a sweep are in these states."""

    def waited(sweep_id: str, *states: str) -> None:
        assert wait_until(lambda: states_of(platform, sweep_id) == states, 60), states_of(platform, sweep_id)

    return waited


def states_of(platform: Platform, sweep_id: str) -> tuple[str, ...]:
    return tuple(job.state for job in platform.sweeps.jobs_of(sweep_id))


def held(platform: Platform, rows: Rows) -> str:
    """A sweep that runs, whose first run has ended and whose worker waits."""
    sweep_id = platform.sweeps.create_all(SPECS, rows("hold"), None, Order(), cluster="default-fine-tuning")
    platform.supervisor.wake()
    marker = platform.sweeps.folder("any").with_name("held")
    assert wait_until(lambda: marker.exists() and platform.sweeps.jobs_of(sweep_id)[0].result is not None, 60)
    return sweep_id


def test_what_a_server_that_ends_has_begun_goes_on_with_the_next(
    platform: Platform, supervisor: Supervisor, rows: Rows, until: Callable[..., None]
) -> None:
    sweep_id = held(platform, rows)
    supervisor.stop()
    assert states_of(platform, sweep_id) == ("queued", "queued")
    supervisor.start()
    until(sweep_id, "succeeded", "succeeded")
    assert platform.sweeps.result(sweep_id).model == "tickets:1"
    with pytest.raises(Conflict, match="has succeeded"):
        platform.sweeps.queue_all(sweep_id)


def test_of_a_cancelled_run_the_others_go_on(
    platform: Platform, supervisor: Supervisor, rows: Rows, until: Callable[..., None]
) -> None:
    sweep_id = held(platform, rows)
    platform.tuning_jobs.stop(platform.sweeps.jobs_of(sweep_id)[1].id, "cancelled")
    until(sweep_id, "succeeded", "cancelled")
    assert platform.sweeps.result(sweep_id).model == "tickets:1"


def test_a_cancelled_sweep_ends_whole_and_can_be_queued_again(
    platform: Platform, supervisor: Supervisor, rows: Rows, until: Callable[..., None]
) -> None:
    sweep_id = held(platform, rows)
    platform.sweeps.stop_all(sweep_id, "cancelled")
    until(sweep_id, "cancelled", "cancelled")
    platform.sweeps.queue_all(sweep_id, keep_all=True)
    supervisor.wake()
    until(sweep_id, "succeeded", "succeeded")
    assert platform.sweeps.result(sweep_id).model == "tickets:2", "the best one is the newest of all that are kept"


def test_of_what_waits_the_highest_priority_is_run_first(platform: Platform, rows: Rows) -> None:
    made = {
        priority: platform.tuning_jobs.create(SPECS[0], rows("go"), order=Order(), priority=priority).id
        for priority in (0, -5, 7)
    }
    assert [job.id for job in platform.tuning_jobs.waiting()] == [made[7], made[0], made[-5]]
