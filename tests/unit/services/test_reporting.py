import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fettle.errors import InvalidInput, NotFound, WorkerDied
from fettle.plugins import Table
from fettle.services import reporting
from fettle.services.platform import Platform
from fettle.services.reporting import check_sinks
from fettle.services.sinks import SINKS
from fettle.settings import Settings
from fettle.testing.model_files import write_model_files
from fettle.types.tuning import MessageEvent, TuningEvent
from tests.unit.services.conftest import WORKERS, Create

# MLflow's tables are declared in a way that a coming SQLAlchemy will not take.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", threads=1, report_to="tensorboard, mlflow")


@pytest.fixture
def platform(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with Platform(settings, WORKERS) as opened:
        opened.base_models.pull(write_model_files(tmp_path / "small"))
        yield opened


def points(folder: Path) -> dict[str, dict[int, float]]:
    """The scalars in a TensorBoard folder: records of length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
            at += 16 + size
    return found


def mlflow_runs(home: Path):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("Fettle")
    return client, client.search_runs([experiment.experiment_id])


def test_a_job_is_shown_in_tensorboard_and_mlflow_and_goes_on_there(
    platform: Platform, create: Create, settings: Settings
) -> None:
    job = create("die 3")
    with pytest.raises(WorkerDied):
        platform.tuning_jobs.run(job.id)
    assert [run.info.status for run in mlflow_runs(settings.home)[1]] == ["FAILED"]
    platform.tuning_jobs.run(job.id)
    curves = points(settings.home / "tensorboard" / f"tickets-{job.id}")
    assert list(curves["step/loss"]) == [1, 2, 3, 4, 5, 6]
    assert list(curves["validation/loss"].values()) == [0.5]
    client, (run,) = mlflow_runs(settings.home)
    assert (run.info.status, run.info.run_name, run.data.params["method"]) == ("FINISHED", "tickets", "lora")
    history = {point.step: point.value for point in client.get_metric_history(run.info.run_id, "step/loss")}
    assert list(history.values()) == pytest.approx(list(curves["step/loss"].values()))


def test_a_sink_that_fails_costs_the_job_nothing_and_is_told_of_once(
    platform: Platform, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionError("the tracking server is away")

    broken = Table("metric sink", "sinks", {**SINKS, "mlflow": replace(SINKS["mlflow"], open=refuse)})
    monkeypatch.setattr(reporting, "SINKS", broken)
    events: list[TuningEvent] = []
    job = create()
    platform.tuning_jobs.run(job.id, events.append)
    told = [event for event in events if isinstance(event, MessageEvent) and event.code == "sink_failed"]
    assert [event.text for event in told] == ["mlflow does not show this job (any more): the tracking server is away"]
    assert platform.tuning_jobs.get(job.id).state == "succeeded"


def test_an_unknown_sink_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="unknown metric sink 'tensorbord'"):
        check_sinks(["tensorbord"])


def test_a_sink_without_its_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "find_spec", lambda module: None)
    with pytest.raises(InvalidInput, match="a package is not installed") as refused:
        check_sinks(["tensorboard", "mlflow"])
    assert "pip install tensorboardX mlflow-skinny" in refused.value.hint
