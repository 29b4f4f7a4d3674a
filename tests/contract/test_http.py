"""Whatever the OpenAPI document allows to be sent, the server answers as it says there; without a key it refuses.

A whole platform is asked in this process, but for its engines, which answer from a script. FETTLE_CONTRACT_EXAMPLES is
the number of requests for each route; a greater one searches longer and by chance.
"""

import os
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openai import types
from openai.types.chat import ChatCompletion
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from openai.types.responses import Response
from openai.types.uploads import UploadPart
from pydantic import BaseModel
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fettle.api.app import create_app
from fettle.api.auth import KeyCheck
from fettle.api.openai.ids import shown
from fettle.registry.custom_models import CustomModels
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.store.repository import Repository
from fettle.testing.model_files import write_model_files
from fettle.testing.scripted import IdleSupervisor, ScriptedEngines, ScriptedPlatform
from fettle.types.access import DEFAULT_PROJECT, KeySpec
from fettle.types.endpoints import EndpointSpec
from fettle.types.ids import now
from fettle.types.resources import CustomModel, Order, TuningJob
from fettle.types.responses import StoredResponse
from fettle.types.tuning import TuningSpec

KEY = "fettle-contract"
EXAMPLES = int(os.environ.get("FETTLE_CONTRACT_EXAMPLES", "0"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
#: Routes of OpenAI's that answer with things, or with lists of such: as the types of their package say.
OPENAI: dict[str, type[BaseModel]] = {
    "GET /v1/models": types.Model,
    "GET /v1/models/{name}": types.Model,
    "DELETE /v1/models/{name}": types.ModelDeleted,
    "POST /v1/chat/completions": ChatCompletion,
    "POST /v1/completions": types.Completion,
    "POST /v1/responses": Response,
    "POST /v1/embeddings": types.CreateEmbeddingResponse,
    "GET /v1/files": types.FileObject,
    "GET /v1/files/{file_id}": types.FileObject,
    "DELETE /v1/files/{file_id}": types.FileDeleted,
    "POST /v1/uploads": types.Upload,
    "POST /v1/uploads/{upload_id}/parts": UploadPart,
    "POST /v1/uploads/{upload_id}/cancel": types.Upload,
    "POST /v1/fine_tuning/jobs": FineTuningJob,
    "GET /v1/fine_tuning/jobs": FineTuningJob,
    "GET /v1/fine_tuning/jobs/{job_id}": FineTuningJob,
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": FineTuningJob,
    "GET /v1/fine_tuning/jobs/{job_id}/events": FineTuningJobEvent,
    "GET /v1/fine_tuning/jobs/{job_id}/checkpoints": FineTuningJobCheckpoint,
    "POST /v1/batches": types.Batch,
    "GET /v1/batches": types.Batch,
    "GET /v1/batches/{batch_id}": types.Batch,
    "POST /v1/batches/{batch_id}/cancel": types.Batch,
}
LISTS = {label for label in OPENAI if label.startswith("GET") and not label.endswith("}")}
#: What is deleted is missed by the others, so they come before it.
ORDER = ("get", "post", "patch", "delete")


class Attacked(Platform):
    """A whole platform without processes: its engines answer from a script, and its jobs stay in the queue."""

    @cached_property
    def engines(self) -> Any:
        return ScriptedEngines(dict.fromkeys(("small", "tickets", "tickets:1", "answers"), ("Hello", " world")))

    @cached_property
    def supervisor(self) -> Any:
        return IdleSupervisor()


def document() -> dict[str, Any]:
    """The document; what it allows by 'default' is not taken for documented."""
    found = create_app(ScriptedPlatform(), KeyCheck.of(KEY)).openapi()
    for methods in found["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("default", None)
    return found


@cache
def operations() -> dict[str, Any]:
    schema = schemathesis.openapi.from_dict(document(), config=SchemathesisConfig())
    # The key is what the tests send, or do not.
    schema.config.generation.with_security_parameters = False
    found = [one.ok() for one in schema.get_all_operations()]
    return {one.label: one for one in sorted(found, key=lambda one: ORDER.index(one.method.lower()))}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("home")
    with Attacked(Settings(home=home, database_url="", threads=1)) as opened:
        opened.base_models.pull(write_model_files(home / "small"))
        yield opened


@pytest.fixture(scope="module")
def names(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, st.SearchStrategy[str]]:
    """For parameters of paths and fields of bodies, what is there by that name: else few requests come any further."""
    folder = tmp_path_factory.mktemp("files")
    jobs, model = tuned(platform, folder)
    platform.version_labels.put(model.full_name, "production")
    platform.endpoints.create(EndpointSpec(name="answers", model=model.full_name))
    platform.projects.create("other")
    with platform.files.draft() as path:
        path.write_text('{"prompt": "a", "completion": "b"}\n')
        file = platform.files.keep(path, "rows.jsonl", "fine-tune")
    upload = platform.uploads.create("rows.jsonl", "fine-tune", 9)
    batch = platform.batches.create("/v1/completions", file, {})
    key, _ = platform.keys.create(KeySpec(name="somebody"))
    platform.responses.keep(answer := response())
    there = {
        "cluster": ["default-hosting", "default-fine-tuning"],
        "endpoint": ["answers"],
        "job": jobs,
        "job_id": jobs,
        "file_id": [file.id],
        "train_file": [file.id],
        "training_file": [shown(file.id)],
        "input_file_id": [shown(file.id)],
        "upload_id": [upload.id],
        "batch_id": [batch.id],
        "response_id": [answer.id],
        "key": [key.id],
        "project": ["other"],
        "label": [f"{model.name}:production"],
        "name": ["small", model.full_name],
        "model": ["small", model.full_name, "answers"],
        "base": ["small"],
    }
    return {name: st.sampled_from(values) for name, values in there.items()}


@pytest.fixture(scope="module")
def app(platform: Platform) -> Iterator[Any]:
    yield create_app(platform, KeyCheck.of(KEY), max_body_bytes=100_000)
    # Before the platform: what goes on behind the routes must not look for it in vain.
    shutdown_lifespans()


def asked() -> list[Any]:
    """Each route with requests that fit the document, and with such as do not where something in them can be wrong."""
    fitting, unfitting = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    found = []
    for label, operation in operations().items():
        # Any text fits in a path.
        has_rules = operation.body or any(one.location.name == "QUERY" for one in operation.iter_parameters())
        modes = (fitting, unfitting) if has_rules else (fitting,)
        found += [pytest.param(label, mode, id=f"{label} {mode.value}") for mode in modes]
    return found


@pytest.mark.parametrize(("label", "mode"), asked())
def test_every_route_answers_as_it_is_documented(
    label: str, mode: GenerationMode, app: Any, names: dict[str, st.SearchStrategy[str]]
) -> None:
    operation = operations()[label]

    @settings(
        max_examples=EXAMPLES or 3,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        for part in (case.path_parameters, case.body):
            if isinstance(part, dict):
                part |= {
                    name: data.draw(names[name]) for name in sorted(part.keys() & names) if data.draw(st.booleans())
                }
        if operation.definition.raw.get("security"):
            refused = case.call(app=app)
            # A line break in its path leads a request to no route.
            assert refused.status_code == 401 or "no such route" in refused.text
        answer = case.call(app=app, headers={"authorization": f"Bearer {KEY}"})
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code == 200 and label in OPENAI and answer.headers["content-type"] == ["application/json"]:
            told = answer.json()
            for one in told["data"] if label in LISTS else [told]:
                # Its name may be that of one of ours, which OpenAI does not have.
                one.pop("method", None)
                OPENAI[label].model_validate(one)

    ask()


def tuned(platform: Platform, folder: Path) -> tuple[list[str], CustomModel]:
    """A job that was cancelled (who follows one that waits is never done), one that has succeeded, and its model."""
    rows = folder / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n' * 9)
    spec = TuningSpec(base="small", method="lora", name="tickets")
    ended, done = (platform.tuning_jobs.create(spec, rows, order=Order()) for _ in range(2))
    repository = Repository(platform._database)
    repository.move(TuningJob, ended.id, "cancelled")
    repository.move(TuningJob, done.id, "running")
    models = CustomModels(repository.of(DEFAULT_PROJECT), platform._shared.artifacts)
    files = write_model_files(folder / "adapter")
    made = models.begin(done, files, kind="lora", prompt_format="prompt", metrics={})
    return [ended.id, done.id], models.finish(made)


def response() -> StoredResponse:
    answer = {"id": "resp_1", "object": "response", "output": []}
    return StoredResponse(id="resp_1", created_at=now(), answer=answer, input_items=())
