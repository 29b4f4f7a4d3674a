import subprocess
import sys
from pathlib import Path

import pytest

from fettle.errors import InvalidInput, NotFound
from fettle.registry.custom_models import CustomModels
from fettle.store.artifacts import ArtifactStore
from fettle.store.files import files_in
from fettle.store.repository import Repository
from fettle.types.ids import new_id, now
from fettle.types.resources import CustomModel, TuningJob
from fettle.types.tuning import TuningSpec

REGISTER = """
import sys
from pathlib import Path
from fettle.registry.custom_models import CustomModels
from fettle.settings import load_settings
from fettle.store.artifacts import ArtifactStore
from fettle.store.database import Database
from fettle.store.repository import Repository
from fettle.types.resources import TuningJob

home = Path(sys.argv[1])
repository = Repository(Database.open(load_settings(home=home).database))
models = CustomModels(repository, ArtifactStore(home / "artifacts", repository))
sys.stdin.read()
for job_id in sys.argv[2:]:
    job = repository.move(TuningJob, job_id, "running")
    model = models.begin(job, home / "output", kind="lora", prompt_format="chat", metrics={})
    print(models.finish(model).version)
"""


@pytest.fixture
def models(repository: Repository, artifacts: ArtifactStore) -> CustomModels:
    return CustomModels(repository, artifacts)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def running_job(repository: Repository, name: str = "tickets") -> TuningJob:
    spec = TuningSpec(base="pocket", method="lora", name=name)
    job = TuningJob(id=new_id("job"), spec=spec, dataset_hash="d", train_path="/t", created_at=now())
    repository.insert(job)
    return repository.move(TuningJob, job.id, "running")


def begun(models: CustomModels, job: TuningJob, output: Path) -> CustomModel:
    return models.begin(job, output, kind="lora", prompt_format="chat", metrics={})


def made(models: CustomModels, repository: Repository, output: Path, name: str = "tickets") -> CustomModel:
    return models.finish(begun(models, running_job(repository, name), output))


def test_versions_count_up_and_the_name_means_the_newest(
    models: CustomModels, repository: Repository, output: Path
) -> None:
    versions = [made(models, repository, output) for _ in range(11)]
    assert [model.version for model in versions] == list(range(1, 12))
    assert models.get("tickets") == versions[-1]
    assert models.get("tickets:2") == versions[1]
    assert made(models, repository, output, name="other").version == 1


def test_a_model_counts_only_once_it_is_finished_and_its_job_succeeds_with_it(
    models: CustomModels, repository: Repository, output: Path
) -> None:
    job = running_job(repository)
    model = begun(models, job, output)
    assert models.list() == []
    models.finish(model)
    ended = repository.get(TuningJob, job.id)
    assert (ended.state, ended.model_id) == ("succeeded", model.id)
    assert models.list() == [model.model_copy(update={"state": "active"})]


def test_a_job_that_comes_again_gets_the_version_it_had(
    models: CustomModels, repository: Repository, output: Path
) -> None:
    job = running_job(repository)
    assert begun(models, job, output) == begun(models, job, output)


@pytest.mark.parametrize("name", ["ticket", "tickets:9", "tickets:", "tickets:01", "tickets:x", "nothing:1"])
def test_an_unknown_name_is_told(models: CustomModels, repository: Repository, output: Path, name: str) -> None:
    made(models, repository, output)
    with pytest.raises(NotFound, match=name):
        models.get(name)


def test_a_deleted_version_is_gone_its_number_is_not_used_again(
    models: CustomModels, repository: Repository, output: Path
) -> None:
    first, second = made(models, repository, output), made(models, repository, output)
    models.delete(second.full_name)
    assert models.get("tickets") == first
    assert made(models, repository, output).version == 3
    with pytest.raises(NotFound):
        models.get("tickets:2")


def test_files_stay_as_long_as_a_version_has_them(
    models: CustomModels, repository: Repository, artifacts: ArtifactStore, output: Path
) -> None:
    first, second = made(models, repository, output), made(models, repository, output)
    assert first.artifact == second.artifact
    models.delete("tickets:1")
    artifacts.verify(second.artifact)
    models.delete("tickets:2")
    assert files_in(artifacts.root) == {}


def test_deleting_a_set_by_its_bare_name_asks_which(models: CustomModels, repository: Repository, output: Path) -> None:
    made(models, repository, output)
    made(models, repository, output)
    with pytest.raises(InvalidInput, match=r"tickets:1, tickets:2"):
        models.delete("tickets")
    models.delete("tickets:1")
    assert models.delete("tickets").version == 2


def test_processes_that_register_at_once_get_different_versions(
    tmp_path: Path, models: CustomModels, repository: Repository, output: Path
) -> None:
    jobs = [repository.insert(queued()) for _ in range(12)]
    ids = [job.id for job in jobs]
    commands = [[sys.executable, "-c", REGISTER, str(tmp_path), *ids[start::3]] for start in range(3)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(command, text=True, **pipes) for command in commands]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    told = [process.communicate() for process in started]
    assert [errors for _, errors in told] == [""] * 3
    assert sorted(int(line) for out, _ in told for line in out.split()) == list(range(1, 13))
    assert [model.version for model in models.list()] == list(range(1, 13))


def queued() -> TuningJob:
    spec = TuningSpec(base="pocket", method="lora", name="tickets")
    return TuningJob(id=new_id("job"), spec=spec, dataset_hash="d", train_path="/t", created_at=now())
