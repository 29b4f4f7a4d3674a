import asyncio
import csv
import io
import json

import httpx2 as httpx
import openai
import pytest

KEY_HEADER = {"authorization": "Bearer fettle-test"}
LR = 4e-3
"""The usual rate of LoRA."""


def run(test):
    return asyncio.run(test())


def rows(order="go", number=2):
    return "".join(
        json.dumps({"prompt": order if not n else f"more {n}", "completion": "yes"}) + "\n" for n in range(number)
    ).encode()


async def uploaded(client, content=None, name="train.jsonl"):
    return (await client.files.create(file=(name, content or rows()), purpose="fine-tune")).id


async def ordered(client, order="go", **asked):
    file = await uploaded(client, rows(order))
    return await client.fine_tuning.jobs.create(**{"model": "small", "training_file": file} | asked)


async def reached(client, job, status):
    async with asyncio.timeout(60):
        while (found := await client.fine_tuning.jobs.retrieve(job.id)).status != status:
            await asyncio.sleep(0.02)
    return found


async def told_step(client, job, step):
    async with asyncio.timeout(60):
        while not [e async for e in client.fine_tuning.jobs.list_events(job.id) if e.data.get("step") == step]:
            await asyncio.sleep(0.02)


def test_a_job_is_ordered_followed_and_its_model_listed_and_deleted(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            held_out = await uploaded(client, rows("held"), "valid.jsonl")
            job = await ordered(
                client,
                suffix="my tickets",
                validation_file=held_out,
                seed=7,
                metadata={"team": "a"},
                method={
                    "type": "supervised",
                    "supervised": {
                        "hyperparameters": {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": 0.5}
                    },
                },
            )
            done = await reached(client, job, "succeeded")
            (checkpoint,) = (await client.fine_tuning.jobs.checkpoints.list(job.id)).data
            none = (await client.fine_tuning.jobs.checkpoints.list(job.id, after=checkpoint.id)).data
            table = (await client.files.content(done.result_files[0])).text
            names = [model.id async for model in client.models.list()]
            model = await client.models.retrieve(done.fine_tuned_model)
            deleted = await client.models.delete(done.fine_tuned_model)
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve(done.fine_tuned_model)
        assert job.id.startswith("ftjob-")
        assert (job.status, job.model, job.seed, job.metadata) == ("queued", "small", 7, {"team": "a"})
        assert job.validation_file == held_out
        assert (job.hyperparameters.n_epochs, job.hyperparameters.learning_rate_multiplier) == (2, 0.5)
        assert job.hyperparameters.batch_size == "auto"
        assert job.method.supervised.hyperparameters.batch_size == "auto"
        spec = platform.tuning_jobs.list()[0].spec
        assert (spec.hyperparameters.epochs, spec.hyperparameters.learning_rate) == (2, pytest.approx(LR / 2))
        assert done.fine_tuned_model.startswith("ft:small:local:my-tickets:")
        assert (done.trained_tokens, done.error) == (3, None)
        assert done.finished_at >= done.created_at
        assert checkpoint.fine_tuned_model_checkpoint == done.fine_tuned_model
        assert (checkpoint.step_number, checkpoint.metrics.full_valid_loss, none) == (6, 0.5, [])
        steps = list(csv.DictReader(io.StringIO(table)))
        assert [row["step"] for row in steps] == ["1", "2", "3", "4", "5", "6"]
        assert (steps[0]["train_loss"], steps[5]["valid_mean_token_accuracy"]) == ("1.0", "0.8")
        assert {"my-tickets", "my-tickets:1", done.fine_tuned_model} <= set(names)
        assert (model.id, deleted.deleted) == (done.fine_tuned_model, True)

    run(test)


def test_a_tuned_model_answers_under_its_own_name(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            job = await reached(client, await ordered(client), "succeeded")
            answer = await client.completions.create(model=job.fine_tuned_model, prompt="adapter?")
        (made,) = platform.custom_models.list()
        assert answer.choices[0].text == made.id
        assert answer.model == job.fine_tuned_model

    run(test)


def test_tuning_goes_on_with_a_tuned_model(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            first = await reached(client, await ordered(client), "succeeded")
            second = await ordered(client, model=first.fine_tuned_model, suffix="more")
            done = await reached(client, second, "succeeded")
        spec = platform.tuning_jobs.list()[1].spec
        assert (spec.base, spec.continues) == ("small", "small-tuned:1")
        assert done.fine_tuned_model.startswith("ft:small:local:more:")

    run(test)


def test_events_come_newest_first_and_in_pages(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            job = await ordered(client)
            await reached(client, job, "succeeded")
            events = client.fine_tuning.jobs.list_events
            async with asyncio.timeout(60):
                while "completed" not in (await events(job.id, limit=1)).data[0].message:
                    await asyncio.sleep(0.02)
            paged, whole = [e async for e in events(job.id, limit=3)], (await events(job.id, limit=100)).data
            with pytest.raises(openai.NotFoundError):
                await events(job.id, after="nonsense")
        assert paged == whole
        assert sorted(whole, key=lambda event: int(event.id.removeprefix("ftevent-")), reverse=True) == whole
        texts = [event.message for event in whole]
        assert texts[-1] == f"Created fine-tuning job: {job.id}"
        assert texts[-2] == "Fine-tuning job started"
        assert "New fine-tuned model created: ft:small:local::" in texts[0]
        metrics = [event for event in whole if event.type == "metrics"]
        assert metrics[-1].message == "Step 1/6: training loss=1.0000"
        assert metrics[-1].data["train_loss"] == 1.0
        assert metrics[0].data["full_valid_loss"] == 0.5

    run(test)


def test_jobs_are_cancelled_paused_and_resumed(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            jobs = client.fine_tuning.jobs
            paused, waiting = await ordered(client, "hold 2"), await ordered(client)
            await told_step(client, paused, 2)
            running = await jobs.retrieve(paused.id)
            cancelled = await jobs.cancel(waiting.id)
            halted = await jobs.pause(paused.id)
            resumed = await jobs.resume(paused.id)
            done = await reached(client, paused, "succeeded")
            with pytest.raises(openai.ConflictError, match="succeeded") as caught:
                await jobs.cancel(paused.id)
        assert (running.status, running.estimated_finish > running.created_at) == ("running", True)
        assert [job.status for job in (cancelled, halted, resumed)] == ["cancelled", "paused", "queued"]
        assert cancelled.finished_at
        assert (halted.finished_at, halted.error) == (None, None)
        assert done.fine_tuned_model
        assert caught.value.response.headers["x-should-retry"] == "false"

    run(test)


def test_jobs_are_listed_newest_first_in_pages_and_by_their_labels(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            made = [(await ordered(client, metadata={"n": str(n), "odd": str(n % 2)})).id for n in range(5)]
            every = [job.id async for job in client.fine_tuning.jobs.list(limit=2)]
            odd = [job.id async for job in client.fine_tuning.jobs.list(limit=1, metadata={"odd": "1"})]
            both = [job.id async for job in client.fine_tuning.jobs.list(metadata={"odd": "1", "n": "3"})]
            quoted = [job.id async for job in client.fine_tuning.jobs.list(metadata={"o\"d'd": "1"})]
            with pytest.raises(openai.NotFoundError):
                await client.fine_tuning.jobs.list(after="ftjob-none")
        assert every == made[::-1]
        assert odd == [made[3], made[1]]
        assert both == [made[3]]
        assert quoted == []

    run(test)


def test_a_job_that_fails_says_why(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            failed = await reached(client, await ordered(client, "error"), "failed")
            (newest,) = (await client.fine_tuning.jobs.list_events(failed.id, limit=1)).data
        assert "the loss is no number" in failed.error.message
        assert newest.level == "error"
        assert failed.fine_tuned_model is None

    run(test)


@pytest.mark.parametrize(
    ("method", "spec_method"), [("lora", "lora"), ("tfew", "tfew"), ("full", "full"), ("supervised", "lora")]
)
def test_our_methods_and_settings_can_be_asked_for(serving, platform, method, spec_method):
    async def test():
        async with serving(platform) as server, server.client() as client:
            settings = {"epochs": 4, "early_stopping.patience": 3} | ({} if method in ("tfew", "full") else {"rank": 8})
            asked = {"type": method, method: {"hyperparameters": settings}}
            job = await ordered(client, method=asked)
        spec = platform.tuning_jobs.get(job.id.replace("ftjob-", "job_")).spec
        assert spec.method == spec_method
        assert (spec.hyperparameters.epochs, spec.hyperparameters.early_stopping.patience) == (4, 3)
        assert spec.adapter.get("rank") == settings.get("rank")

    run(test)


def test_the_older_form_of_hyperparameters_is_understood(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            job = await ordered(client, hyperparameters={"n_epochs": 1, "learning_rate_multiplier": "auto"})
        assert job.hyperparameters.n_epochs == 1
        assert job.hyperparameters.learning_rate_multiplier == 1
        assert job.method.type == "supervised"

    run(test)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"training_file": "file-none"}, ["'training_file'", "no file 'file-none'"]),
        ({"training_file": "file-a", "validation_file": "../b"}, ["'training_file'", "'validation_file'"]),
        (
            {"suffix": "x" * 65, "seed": "one", "extra_body": {"nonsense": 1}},
            ["'suffix'", "'seed'", "unknown field 'nonsense'"],
        ),
        ({"hyperparameters": {"n_epochs": 0, "batch_size": -1}}, ["epochs", "batch_size"]),
        ({"hyperparameters": {"learning_rate_multiplier": "much"}}, ["learning_rate_multiplier", "'much'"]),
        ({"method": {"type": "lora", "lora": {"hyperparameters": {"rnak": 1}}}}, ["Did you mean 'rank'"]),
        ({"method": {"type": "lora", "dpo": {"hyperparameters": {}}}}, ["'lora'", "settings of dpo"]),
        ({"method": {"type": "supervised", "supervised": {"grader": {}}}}, ["unknown field", "grader"]),
        ({"metadata": {str(n): "x" for n in range(17)}}, ["at most 16 labels"]),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, ["leave it out"]),
        (
            {"method": {"type": "supervised"}, "hyperparameters": {"n_epochs": 1}},
            ["give one of the two"],
        ),
    ],
)
def test_what_cannot_be_done_is_a_400_and_nothing_is_recorded(serving, platform, changes, told):
    async def test():
        async with serving(platform) as server, server.client() as client:
            with pytest.raises(openai.BadRequestError) as caught:
                await ordered(client, **changes)
        for part in told:
            assert part in caught.value.body["message"]
        assert platform.tuning_jobs.list() == []

    run(test)


def test_bad_rows_are_refused_by_line_and_by_the_name_of_the_file(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            bad = b'{"prompt": "a", "completion": ""}\n{"prompt": "b", "completion": "c"}\n{"prompt": 3}\n'
            file = await uploaded(client, bad, "bad.jsonl")
            with pytest.raises(openai.BadRequestError) as caught:
                await client.fine_tuning.jobs.create(model="small", training_file=file)
        message = caught.value.body["message"]
        for part in ("bad.jsonl", "line 1", "line 3"):
            assert part in message
        assert "line 2" not in message
        assert str(platform.settings.home) not in message
        assert caught.value.code == "invalid_rows"
        assert platform.tuning_jobs.list() == []

    run(test)


def test_an_unknown_base_method_and_job_are_told(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            with pytest.raises(openai.NotFoundError, match="small"):
                await ordered(client, model="smal")
            with pytest.raises(openai.NotFoundError, match="lora"):
                await ordered(client, method={"type": "lorra"})
            with pytest.raises(openai.NotFoundError, match="ftjob-none"):
                await client.fine_tuning.jobs.retrieve("ftjob-none")

    run(test)


def test_a_base_model_and_a_name_of_several_versions_are_not_deleted(serving, platform):
    async def test():
        async with serving(platform) as server, server.client() as client:
            for _ in range(2):
                await reached(client, await ordered(client, suffix="twice"), "succeeded")
            with pytest.raises(openai.BadRequestError, match="base model"):
                await client.models.delete("small")
            with pytest.raises(openai.BadRequestError, match="2 versions"):
                await client.models.delete("twice")
            assert (await client.models.delete("twice:1")).deleted
            names = [model.id async for model in client.models.list()]
        assert "twice:2" in names
        assert "twice:1" not in names

    run(test)


def test_jobs_of_the_command_line_are_told_too(serving, platform, tmp_path):
    from fettle.types.tuning import TuningSpec

    path = tmp_path / "own.jsonl"
    path.write_bytes(rows())
    job = platform.tuning_jobs.create(TuningSpec(base="small", method="tfew", name="own"), path)
    platform.tuning_jobs.run(job.id)

    async def test():
        async with serving(platform) as server, server.client() as client:
            (told,) = (await client.fine_tuning.jobs.list()).data
        assert (told.status, told.fine_tuned_model, told.method.type) == ("succeeded", "own:1", "tfew")
        assert (told.training_file, told.result_files) == ("", [])

    run(test)


def test_every_route_needs_the_key(serving, platform):
    async def test():
        async with serving(platform) as server, httpx.AsyncClient() as nobody:
            paths = (await nobody.get(f"{server.url}/openapi.json", headers=KEY_HEADER)).json()["paths"]
            asked = [(method, path) for path, methods in paths.items() for method in methods]
            statuses = {
                path: (await nobody.request(method, server.url + path)).status_code
                for method, path in asked
                if path not in ("/healthz", "/readyz")
            }
        assert set(statuses.values()) == {401}
        assert {"/v1/files", "/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs/{job_id}/cancel"} <= statuses.keys()

    run(test)
