"""A platform whose workers are small programs, with one base model that holds next to nothing."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fettle.services.platform import Platform, WorkerModules
from fettle.services.supervisor import Supervisor
from fettle.settings import Settings
from fettle.testing.model_files import write_model_files
from fettle.types.resources import TuningJob
from fettle.types.tuning import TuningSpec

UNIT = Path(__file__).parents[1]
WORKERS = WorkerModules(
    tune="scripted_tuner", sweep="scripted_sweeper", evaluate="scripted_evaluator", engine="echo_engine"
)
Rows = Callable[[str], Path]
Create = Callable[..., TuningJob]


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find the programs as modules."""
    folders = [str(UNIT / name / "programs") for name in ("services", "clusters")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(home=tmp_path / "home", threads=1, database_url=database_url)


@pytest.fixture
def platform(settings: Settings, tmp_path: Path) -> Iterator[Platform]:
    with Platform(settings, WORKERS) as opened:
        opened.base_models.pull(write_model_files(tmp_path / "small"))
        yield opened


@pytest.fixture
def supervisor(platform: Platform) -> Iterator[Supervisor]:
    """Runs what is queued, for as long as the test does."""
    platform.supervisor.start()
    yield platform.supervisor
    platform.supervisor.stop()


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """A file of examples whose first prompt tells the scripted tuner how to go on."""

    def written(order: str = "go") -> Path:
        path = tmp_path / f"{order.replace(' ', '-')}.jsonl"
        lines = [{"prompt": order, "completion": "yes"}, {"prompt": "more", "completion": "no"}]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return written


@pytest.fixture
def create(platform: Platform, rows: Rows) -> Create:
    """Makes jobs that go as they are told."""

    def created(order: str = "go", name: str = "tickets", method: str = "lora") -> TuningJob:
        return platform.tuning_jobs.create(TuningSpec(base="small", method=method, name=name), rows(order))

    return created
