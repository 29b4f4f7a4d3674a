from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import text

from fettle.errors import Conflict, NotFound, StorageFailed
from fettle.store.database import Database
from fettle.store.repository import Repository
from fettle.types.ids import now
from fettle.types.lifecycle import MOVES
from fettle.types.resources import Batch, Order, TuningJob
from fettle.types.tuning import TuningSpec


def a_job(job_id: str = "job_1") -> TuningJob:
    spec = TuningSpec(base="pocket", method="lora", name="tickets")
    return TuningJob(id=job_id, spec=spec, dataset_hash="d", train_path="/t", created_at=now())


def test_what_is_inserted_comes_back_equal(repository: Repository) -> None:
    job = repository.insert(a_job())
    assert repository.get(TuningJob, job.id) == job
    assert repository.find(TuningJob, state="queued") == [job]
    assert repository.find(TuningJob, state="running") == []


def test_a_key_is_given_once(repository: Repository) -> None:
    repository.insert(a_job())
    with pytest.raises(Conflict, match="job_1"):
        repository.insert(a_job())


def test_a_missing_key_is_told_with_the_nearest(repository: Repository) -> None:
    repository.insert(a_job("job_abcdef"))
    with pytest.raises(NotFound, match="job_abcdef"):
        repository.get(TuningJob, "job_abcdee")


def test_pages_hold_every_record_once_in_either_order(repository: Repository) -> None:
    moment = now()
    # Some were made at the very same time.
    times = [moment, moment, moment + timedelta(seconds=1), moment + timedelta(seconds=1), moment + timedelta(days=1)]
    ids = [
        repository.insert(a_job(f"job_{n}").model_copy(update={"created_at": time})).id for n, time in enumerate(times)
    ]

    def walked(*, is_oldest_first: bool) -> list[str]:
        found: list[str] = []
        while page := repository.page(
            TuningJob, after=found[-1] if found else None, limit=2, is_oldest_first=is_oldest_first
        ):
            found += [job.id for job in page]
        return found

    assert walked(is_oldest_first=True) == ids
    assert walked(is_oldest_first=False) == ids[::-1]
    with pytest.raises(NotFound, match="job_9"):
        repository.page(TuningJob, after="job_9", limit=2)


@pytest.mark.parametrize("label", ["o'd", "a.b", "x,y", "{}", "0", ""])
def test_a_page_holds_those_that_have_a_text_deeper_inside(repository: Repository, label: str) -> None:
    for name in ("job_1", "job_2"):
        repository.insert(a_job(name).model_copy(update={"order": Order(metadata={label: name})}))
    found = repository.page(TuningJob, limit=9, within={("order", "metadata", label): "job_2"})
    assert [job.id for job in found] == ["job_2"]


def test_an_update_keeps_what_others_changed_meanwhile(repository: Repository) -> None:
    stale = repository.insert(a_job())
    repository.update(stale, pid=7)
    assert repository.update(stale, error="late").pid == 7


def test_a_state_changes_only_by_a_move(repository: Repository) -> None:
    job = repository.insert(a_job())
    with pytest.raises(ValueError, match="move"):
        repository.update(job, state="succeeded")


def a_batch(name: str) -> Batch:
    moment = now()
    about = {"endpoint": "/v1/completions", "input_file": "file_1", "created_at": moment, "expires_at": moment}
    return Batch.checked({"id": name, "state": "validating", **about})


@pytest.mark.parametrize(("kind", "make"), [("job", a_job), ("batch", a_batch)])
def test_states_move_only_as_the_lifecycle_says(
    repository: Repository, kind: str, make: Callable[[str], TuningJob | Batch]
) -> None:
    moves = MOVES[kind]
    for old, new in product(moves, moves):
        one = repository.insert(make(f"{old}-{new}").model_copy(update={"state": old}))
        if new in moves[old]:
            assert repository.move(type(one), one.id, new).state == new, (old, new)
            continue
        with pytest.raises(Conflict, match=old):
            repository.move(type(one), one.id, new)
        assert repository.get(type(one), one.id).state == old, (old, new)


def test_of_many_who_move_a_state_at_once_one_wins(repository: Repository) -> None:
    repository.insert(a_job())
    repository.move(TuningJob, "job_1", "running")

    def finish(_: int) -> bool:
        try:
            repository.move(TuningJob, "job_1", "succeeded")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(finish, range(16))) == 1


def test_a_record_that_was_damaged_is_told_not_guessed(repository: Repository, database: Database) -> None:
    repository.insert(a_job())
    with database.write() as connection:
        connection.execute(text("UPDATE tuning_jobs SET body = '{\"spec\": 3}'"))
    with pytest.raises(StorageFailed, match="job_1"):
        repository.get(TuningJob, "job_1")
