from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fettle.errors import Conflict
from fettle.store.database import Database
from fettle.store.events import Event, EventLog
from fettle.store.repository import Repository
from fettle.types.ids import now
from fettle.types.resources import TuningJob
from fettle.types.tuning import TuningSpec

NUM_WRITERS, NUM_WRITES = 4, 25


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """The same database, as another process has it."""
    opened = Database.open(database.url)
    yield opened
    opened.close()


def all_at_once(work: Callable[[int], object]) -> list[object]:
    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        return list(pool.map(work, range(NUM_WRITERS)))


def a_job(repository: Repository) -> TuningJob:
    spec = TuningSpec(base="pocket", method="lora", name="tickets")
    return repository.insert(TuningJob(id="job_1", spec=spec, dataset_hash="d", train_path="/t", created_at=now()))


def test_who_follows_events_misses_none_though_many_write_them(database: Database, other: Database) -> None:
    logs, found = [EventLog(database), EventLog(other)], list[Event]()

    def write(number: int) -> None:
        for step in range(NUM_WRITES):
            logs[number % 2].append("job", "step", writer=number, step=step)

    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        writers = [pool.submit(write, number) for number in range(NUM_WRITERS)]
        is_over = False
        while not is_over:
            is_over = all(writer.done() for writer in writers)
            found += logs[0].of("job", after=found[-1].id if found else 0)
    assert [writer.exception() for writer in writers] == [None] * NUM_WRITERS
    assert len(found) == len({event.id for event in found}) == NUM_WRITERS * NUM_WRITES


def test_of_changes_at_once_none_is_lost(database: Database, other: Database) -> None:
    repositories = [Repository(database), Repository(other)]
    a_job(repositories[0])

    def count(number: int) -> None:
        for _ in range(NUM_WRITES):
            with repositories[number % 2].write() as records:
                job = records.get(TuningJob, "job_1")
                records.update(job, pid=(job.pid or 0) + 1)

    all_at_once(count)
    assert repositories[0].get(TuningJob, "job_1").pid == NUM_WRITERS * NUM_WRITES


def test_a_queued_job_is_begun_once(database: Database, other: Database) -> None:
    repositories = [Repository(database), Repository(other)]
    a_job(repositories[0])

    def begin(number: int) -> bool:
        try:
            with repositories[number % 2].write() as records:
                if records.get(TuningJob, "job_1").state == "queued":
                    records.move(TuningJob, "job_1", "running")
                    return True
        except Conflict:
            pass
        return False

    for _ in range(NUM_WRITES):
        assert sorted(all_at_once(begin)) == [False] * (NUM_WRITERS - 1) + [True]
        repositories[0].move(TuningJob, "job_1", "queued")
