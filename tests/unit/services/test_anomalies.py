"""Each write of each operation meets a full disk, then the end of its process: all is legal, and a retry succeeds."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from fettle.clusters.processes import ProcessId
from fettle.errors import Conflict, NotFound
from fettle.services import custom_models, tuning_jobs
from fettle.services.batch_journal import Answer
from fettle.services.batches import Checked
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.files import storage_told
from fettle.testing.anomalies import Anomaly, every_step
from fettle.testing.consistency import faults_of
from fettle.testing.model_files import write_model_files
from fettle.types.clusters import ClusterSpec
from fettle.types.endpoints import EndpointSpec
from fettle.types.ids import new_id
from fettle.types.resources import Batch, Order, StoredFile, TuningJob, Upload
from fettle.types.tuning import MessageEvent, Metrics, TuningPlan, TuningResult, TuningSpec

pytestmark = pytest.mark.slow
CONTENT = b'{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n'
METRICS = Metrics(loss=0.5, token_accuracy=0.8, num_tokens=10)
RESULT = TuningResult(
    steps=1,
    epochs=1,
    stopped_early=False,
    best_step=1,
    train=METRICS,
    validation=METRICS,
    trained_parameters=1,
    total_parameters=2,
    trained_tokens=3,
    seconds=4,
)


class Worker:
    """What a tuner does, in this process: it writes its model, and tells something before and after."""

    identity, pid = ProcessId(pid=2**22, started=""), 2**22

    def __init__(self, plan: TuningPlan) -> None:
        self._plan = plan

    def result(self, on_event: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        on_event(MessageEvent(text="beginning").model_dump(mode="json"))
        output = Path(self._plan.output_path)
        with storage_told("the model cannot be written"):
            output.mkdir(parents=True, exist_ok=True)
            for name, text in {"weights": self._plan.work_path, "fettle.json": '{"prompt_format": "prompt"}'}.items():
                (output / name).write_text(text)
        return RESULT.model_dump(mode="json")


@contextmanager
def worker(module: str, plan: TuningPlan, folder: Path, **about: object) -> Iterator[Worker]:
    yield Worker(plan)


class Case(Protocol):
    """An operation: what is there before it, the operation itself, and what has come of it when it was done again."""

    def prepare(self, platform: Platform) -> Any:
        """What it works on; nothing, if it makes that itself."""

    def act(self, platform: Platform, thing: Any) -> None:
        """Do it, or what is left of it."""

    def check(self, platform: Platform, thing: Any) -> None:
        """See that it was done."""


def kept(platform: Platform, content: bytes = CONTENT) -> StoredFile:
    with platform.files.draft() as draft:
        draft.write_bytes(content)
        return platform.files.keep(draft, "rows.jsonl", "fine-tune")


class Keeping(Case):
    def act(self, platform: Platform, thing: None) -> None:
        kept(platform, new_id("content").encode())

    def check(self, platform: Platform, thing: None) -> None:
        (newest,) = platform.files.page(limit=1)
        assert platform.files.path(newest).read_bytes().startswith(b"content_")


class Deleting(Case):
    def prepare(self, platform: Platform) -> StoredFile:
        return kept(platform, new_id("content").encode())

    def act(self, platform: Platform, thing: StoredFile) -> None:
        with suppress(NotFound):
            platform.files.delete(thing.id)

    def check(self, platform: Platform, thing: StoredFile) -> None:
        with pytest.raises(NotFound):
            platform.files.get(thing.id)


class Completing(Case):
    def prepare(self, platform: Platform) -> tuple[Upload, list[str]]:
        upload = platform.uploads.create("rows.jsonl", "fine-tune", len(CONTENT))
        return upload, [part_of(platform, upload, part) for part in (CONTENT[:9], CONTENT[9:])]

    def act(self, platform: Platform, thing: tuple[Upload, list[str]]) -> None:
        with suppress(Conflict):  # it was completed before
            platform.uploads.complete(thing[0].id, thing[1])

    def check(self, platform: Platform, thing: tuple[Upload, list[str]]) -> None:
        with pytest.raises(Conflict, match="completed"):
            platform.uploads.pending(thing[0].id)
        (file,) = platform.files.page(limit=1)
        assert platform.files.path(file).read_bytes() == CONTENT


def part_of(platform: Platform, upload: Upload, content: bytes) -> str:
    with platform.uploads.draft(upload) as draft:
        draft.write_bytes(content)
        return platform.uploads.add(upload, draft).id


class Tuning(Case):
    def prepare(self, platform: Platform) -> TuningJob:
        return ordered(platform)

    def act(self, platform: Platform, thing: TuningJob) -> None:
        if platform.tuning_jobs.get(thing.id).state != "succeeded":
            platform.tuning_jobs.run(thing.id)

    def check(self, platform: Platform, thing: TuningJob) -> None:
        job = platform.tuning_jobs.get(thing.id)
        model = platform.custom_models.made_by(job)
        assert model
        assert (job.state, model.state) == ("succeeded", "active")
        assert job.results_file


def ordered(platform: Platform) -> TuningJob:
    rows = platform.files.path(kept(platform))
    return platform.tuning_jobs.create(TuningSpec(base="small", method="lora", name="sums"), rows, order=Order())


class Ordering(Case):
    def act(self, platform: Platform, thing: None) -> None:
        ordered(platform)

    def check(self, platform: Platform, thing: None) -> None:
        assert platform.tuning_jobs.list()[-1].state == "queued"


class DeletingModels(Case):
    def prepare(self, platform: Platform) -> str:
        return platform.tuning_jobs.run(ordered(platform).id).full_name

    def act(self, platform: Platform, thing: str) -> None:
        with suppress(NotFound):
            platform.custom_models.delete(thing)

    def check(self, platform: Platform, thing: str) -> None:
        with pytest.raises(NotFound):
            platform.custom_models.get(thing)


class Answering(Case):
    def prepare(self, platform: Platform) -> Batch:
        lines = [{"custom_id": f"line-{number}"} for number in range(2)]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return platform.batches.create("/v1/chat/completions", kept(platform, content), {})

    def act(self, platform: Platform, thing: Batch) -> None:
        journal = platform.batches.take(thing.id)
        if journal:
            try:
                self._answer(platform, thing, journal)
            finally:
                journal.close()

    def _answer(self, platform: Platform, batch: Batch, journal: Any) -> None:
        if platform.batches.get(batch.id).state == "validating":
            platform.batches.check(batch.id, lambda _, path: Checked(num_requests=2))
        for row in platform.batches.unanswered(batch.id, journal):
            line = json.dumps(row.value).encode()
            platform.batches.add(batch.id, journal, Answer(row.value["custom_id"], line, is_error=False))
        platform.batches.finish(batch.id, journal)

    def check(self, platform: Platform, thing: Batch) -> None:
        batch = platform.batches.get(thing.id)
        assert (batch.state, batch.num_completed, batch.error_file) == ("completed", 2, None)
        assert batch.output_file
        lines = platform.files.path(platform.files.get(batch.output_file)).read_text().splitlines()
        assert [json.loads(line)["custom_id"] for line in lines] == ["line-0", "line-1"]


class Reserving(Case):
    def prepare(self, platform: Platform) -> str:
        return new_id("c")

    def act(self, platform: Platform, thing: str) -> None:
        with suppress(Conflict):
            platform.clusters.create(ClusterSpec(name=thing, type="hosting"))
        with suppress(Conflict):
            platform.endpoints.create(EndpointSpec(name=f"on-{thing}", model="small", cluster=thing))

    def check(self, platform: Platform, thing: str) -> None:
        assert (platform.clusters.get(thing).state, platform.endpoints.get(f"on-{thing}").state) == ("active", "active")
        platform.clusters.delete(thing, cascade=True)


class GivingBack(Case):
    def prepare(self, platform: Platform) -> str:
        made = Reserving()
        made.act(platform, name := made.prepare(platform))
        return platform.clusters.get(name).id

    def act(self, platform: Platform, thing: str) -> None:
        with suppress(Conflict):
            platform.clusters.delete(thing, cascade=True)

    def check(self, platform: Platform, thing: str) -> None:
        assert platform.clusters.get(thing).state == "deleted"


CASES: tuple[type[Case], ...] = (
    Keeping,
    Deleting,
    Completing,
    Ordering,
    Tuning,
    DeletingModels,
    Answering,
    Reserving,
    GivingBack,
)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_at_whatever_write_a_process_is_killed_all_is_legal_and_whole_and_a_retry_succeeds(
    case: type[Case], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_every_step(case(), "killed", settings, tmp_path, monkeypatch)


@pytest.mark.parametrize("case", [Keeping, Completing, Tuning, Answering])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_at_whatever_write_the_disk_is_full_it_is_so_too(
    case: type[Case], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_every_step(case(), "disk full", settings, tmp_path, monkeypatch)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_it_is_so_on_a_server_too(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_every_step(Completing(), "killed", settings, tmp_path, monkeypatch)


def check_every_step(
    case: Case, anomaly: Anomaly, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_jobs, "start_worker", worker)
    # A real one takes most of the time, and is written like any other file.
    monkeypatch.setattr(custom_models, "loss_curve", lambda *_: b"a picture")
    platform = Platform(settings)
    platform.base_models.pull(write_model_files(folder / "small"))
    for step in every_step(settings.home, anomaly):
        thing = case.prepare(platform)
        with step:
            case.act(platform, thing)
        platform.close()
        platform = Platform(settings)  # as after a start: what was left is swept
        wrong = {claim: told for claim, told in faults_of(platform).items() if told}
        assert not wrong, (step.number, step.writes[-1], wrong)
        case.act(platform, thing)
        case.check(platform, thing)
    platform.close()
    assert step.number > 1
