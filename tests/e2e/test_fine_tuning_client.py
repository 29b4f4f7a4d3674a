"""OpenAI's fine-tuning API: the official client against `fettle up` on a tiny random model, from file to answer."""

import csv
import io
import json
import signal
from contextlib import ExitStack

import openai
import pytest

from fettle.services.platform import Platform
from fettle.settings import load_settings
from fettle.testing.models import tiny_model
from tests.e2e.server import BASE, serving, until

pytestmark = pytest.mark.e2e
COLUMNS = ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"]
LONG = {"type": "lora", "lora": {"hyperparameters": {"n_epochs": 1000, "checkpoint_interval": 1, "batch_size": 4}}}
"""A job that does not end while a test looks on."""


def reached(client, job, status):
    def look():
        found = client.fine_tuning.jobs.retrieve(job.id)
        assert found.status in ("queued", "running", status), found
        return found if found.status == status else None

    return until(look)


def steps(client, job):
    events = client.fine_tuning.jobs.list_events(job.id, limit=100)
    return [event.data["step"] for event in events if event.message.startswith("Step") and "training" in event.message]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def home(request, tmp_path_factory):
    """An installation whose records are in a file, then one whose records are on a server."""
    folder = tmp_path_factory.mktemp("e2e-tuning")
    with ExitStack() as stack:
        if request.param == "postgresql":
            url = stack.enter_context(request.getfixturevalue("postgres").database())
            stack.enter_context(pytest.MonkeyPatch.context()).setenv("FETTLE_DATABASE_URL", url)
        with Platform(load_settings(home=folder / "home")) as platform:
            platform.base_models.pull(tiny_model(folder / BASE), BASE)
        yield folder / "home"


@pytest.fixture(scope="module")
def client(home):
    with serving(home) as (_, client):
        yield client


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of examples, by name."""
    folder = tmp_path_factory.mktemp("rows")
    for name, number in (("train", 24), ("valid", 6)):
        rows = [
            {"messages": [{"role": "user", "content": f"{n} plus 1"}, {"role": "assistant", "content": str(n + 1)}]}
            for n in range(number)
        ]
        # With a byte order mark, as Azure asks for.
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8-sig")
    return folder


def upload(client, path):
    with path.open("rb") as file:
        uploaded = client.files.create(file=file, purpose="fine-tune")
    return client.files.wait_for_processing(uploaded.id)


def test_from_a_file_to_a_model_that_answers(client, files):
    train, valid = (upload(client, files / f"{name}.jsonl") for name in ("train", "valid"))
    assert client.files.content(train.id).read() == (files / "train.jsonl").read_bytes()
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_file=train.id,
        validation_file=valid.id,
        suffix="plus",
        seed=3,
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 0.5}},
        },
    )
    done = reached(client, job, "succeeded")
    name = done.fine_tuned_model
    assert name.startswith(f"ft:{BASE}:local:plus:")
    assert done.trained_tokens > 0
    assert sorted(steps(client, job)) == [1, 2, 3, 4, 5, 6]

    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
    (result,) = done.result_files
    rows = list(csv.DictReader(io.StringIO(client.files.content(result).text)))
    assert list(rows[0]) == COLUMNS
    best = next(row for row in rows if int(row["step"]) == checkpoint.step_number)
    assert float(best["valid_loss"]) == checkpoint.metrics.full_valid_loss

    assert client.models.retrieve(name).id == name
    asked = {"model": name, "messages": [{"role": "user", "content": "1 plus 1"}], "max_tokens": 8, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    parts = list(client.chat.completions.create(**asked, stream=True))
    said = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert said == whole.choices[0].message.content
    assert client.completions.create(model=checkpoint.fine_tuned_model_checkpoint, prompt="2", max_tokens=2).choices

    assert client.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**asked)
    assert client.files.delete(train.id).deleted


def test_jobs_are_cancelled_paused_resumed_and_listed_in_pages(client, files):
    train = upload(client, files / "train.jsonl").id
    long, waiting = (
        client.fine_tuning.jobs.create(model=BASE, training_file=train, method=LONG, metadata={"of": "this test"})
        for _ in range(2)
    )
    until(lambda: len(steps(client, long)) > 2)
    assert client.fine_tuning.jobs.retrieve(waiting.id).status == "queued"
    assert client.fine_tuning.jobs.retrieve(long.id).estimated_finish
    assert client.fine_tuning.jobs.pause(long.id).status == "paused"
    reached(client, waiting, "running")
    assert client.fine_tuning.jobs.cancel(waiting.id).status == "cancelled"
    at = max(steps(client, long))
    client.fine_tuning.jobs.resume(long.id)
    until(lambda: max(steps(client, long)) > at)
    messages = [event.message for event in client.fine_tuning.jobs.list_events(long.id)]
    assert any(message.startswith("resumed at step") for message in messages)
    assert client.fine_tuning.jobs.cancel(long.id).status == "cancelled"
    listed = [job.id for job in client.fine_tuning.jobs.list(limit=1, metadata={"of": "this test"})]
    assert listed == [waiting.id, long.id]


def test_bad_rows_are_refused_before_anything_starts(client, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"messages": [{"role": "user", "content": "hello"}]}\n{"prompt": "a", "completion": ""}\n')
    before = [job.id for job in client.fine_tuning.jobs.list()]
    with pytest.raises(openai.BadRequestError) as caught:
        client.fine_tuning.jobs.create(model=BASE, training_file=upload(client, bad).id)
    for part in ("bad.jsonl", "line 1", "line 2"):
        assert part in caught.value.body["message"]
    assert [job.id for job in client.fine_tuning.jobs.list()] == before


def test_a_job_goes_on_and_succeeds_after_its_server_was_killed(tmp_path, files, monkeypatch):
    monkeypatch.delenv("FETTLE_DATABASE_URL", raising=False)
    home = tmp_path / "home"
    with Platform(load_settings(home=home)) as platform:
        platform.base_models.pull(tiny_model(tmp_path / BASE), BASE)
    with serving(home) as (process, client):
        settings = {"epochs": 8, "batch_size": 4, "checkpoint_interval": 2, "log_interval": 1}
        settings["early_stopping.patience"] = 0
        method = {"type": "lora", "lora": {"hyperparameters": settings}}
        train = upload(client, files / "train.jsonl").id
        job = client.fine_tuning.jobs.create(model=BASE, training_file=train, method=method)
        second = client.fine_tuning.jobs.create(model=BASE, training_file=train, hyperparameters={"n_epochs": 1})
        until(lambda: len(steps(client, job)) > 2)
        assert client.fine_tuning.jobs.retrieve(job.id).status == "running"
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    with serving(home) as (_, client):
        assert reached(client, job, "succeeded").fine_tuned_model
        events = list(client.fine_tuning.jobs.list_events(job.id, limit=100))
        assert any(event.message.startswith("resumed at step") for event in events)
        last = next(event.data for event in events if "total_steps" in event.data)
        assert last["step"] == last["total_steps"]
        assert reached(client, second, "succeeded").fine_tuned_model
        assert len([model for model in client.models.list() if model.id.startswith("ft:")]) == 2
