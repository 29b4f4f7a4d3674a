"""Tuning jobs on fine-tuning clusters: one after another, with the cores that are reserved."""

import pytest

from fettle.errors import Conflict, NotFound
from fettle.services.platform import Platform
from fettle.services.tuning_places import processes_of, threads_of
from fettle.types.clusters import ClusterSpec
from fettle.types.resources import Order, TuningJob
from fettle.types.tuning import TuningSpec
from tests.unit.services.conftest import Rows

SPEC = TuningSpec(base="small", method="lora", name="tickets")


@pytest.fixture
def queue(platform: Platform, rows: Rows):
    def queued(cluster: str | None = "default-fine-tuning", order: str = "go") -> TuningJob:
        return platform.tuning_jobs.create(SPEC, rows(order), order=Order(), cluster=cluster)

    return queued


def test_a_job_runs_on_its_cluster_which_is_free_again_then(platform: Platform, queue) -> None:
    job = queue()
    assert job.cluster_id == platform.clusters.get("default-fine-tuning").id
    assert platform.tuning_jobs.run(job.id).full_name == "tickets:1"
    assert platform.clusters.delete("default-fine-tuning").state == "deleted"


def test_a_cluster_runs_one_job_at_a_time(platform: Platform, queue) -> None:
    first, second, free = queue(), queue(), queue(None)
    platform.tuning_jobs._repository.move(TuningJob, first.id, "running")
    assert [job.id for job in platform.tuning_jobs.waiting()] == [free.id]
    with pytest.raises(Conflict, match=f"busy with '{first.id}'"):
        platform.tuning_jobs.run(second.id)
    assert platform.tuning_jobs.get(second.id).state == "queued"
    platform.tuning_jobs._repository.move(TuningJob, first.id, "cancelled")
    assert [job.id for job in platform.tuning_jobs.waiting()] == [second.id, free.id]
    assert platform.tuning_jobs.run(second.id).job_id == second.id


def test_a_job_has_the_cores_of_its_cluster(platform: Platform, queue) -> None:
    repository = platform.tuning_jobs._repository
    assert threads_of(repository, queue(None), 7) == 7
    assert threads_of(repository, queue(), 7) == 1, "half a core is reserved"


def test_a_cluster_with_unfinished_jobs_is_deleted_only_with_them(platform: Platform, queue) -> None:
    waiting, running = queue(), queue()
    with pytest.raises(Conflict, match="2 jobs run on it or wait for it"):
        platform.clusters.delete("default-fine-tuning")
    platform.tuning_jobs._repository.move(TuningJob, running.id, "running")
    with pytest.raises(Conflict, match=f"(?s)({running.id}).*Cancel what runs first"):
        platform.clusters.delete("default-fine-tuning", cascade=True)
    assert platform.tuning_jobs.get(waiting.id).state == "queued", "a refused change changes nothing"
    platform.tuning_jobs._repository.move(TuningJob, running.id, "cancelled")
    platform.clusters.delete("default-fine-tuning", cascade=True)
    assert platform.tuning_jobs.get(waiting.id).state == "cancelled"


def test_jobs_are_refused_where_they_cannot_run(platform: Platform, queue) -> None:
    with pytest.raises(Conflict, match="for hosting"):
        queue("default-hosting")
    with pytest.raises(NotFound, match=r"(?s)'default-fine'.*'default-fine-tuning'"):
        queue("default-fine")
    gone = platform.clusters.create(ClusterSpec(name="gone", type="fine_tuning", units=1))
    platform.clusters.delete("gone")
    with pytest.raises(Conflict, match="'gone' is deleted"):
        queue(gone.id)
    assert platform.tuning_jobs.list() == []


@pytest.mark.parametrize(
    ("method", "chosen", "size", "threads", "expected"),
    [
        ("lora", {}, 2**20, 2, 2),
        ("lora", {"batch_size": 32}, 2**20, 4, 4),
        ("lora", {"batch_size": 7}, 2**20, 2, 1),
        ("lora", {"epochs": 1}, 2**19, 2, 1),
        ("lora", {}, 2**20, 1, 1),
        ("full", {}, 2**20, 2, 1),
    ],
)
def test_long_jobs_of_adapters_get_a_process_for_each_thread(
    platform: Platform, tmp_path, method, chosen, size, threads, expected
) -> None:
    (tmp_path / "rows").write_bytes(bytes(size))
    spec = TuningSpec.from_settings(chosen, base="small", method=method, name="tickets")
    job = TuningJob.model_construct(spec=spec, train_path=str(tmp_path / "rows"))
    base = platform.base_models.get("small")
    assert processes_of(job, base, threads) == expected
    assert processes_of(job, base.model_copy(update={"size_bytes": 2**30}), threads) == 1
