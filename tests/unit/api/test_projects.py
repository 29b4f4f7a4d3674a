"""A project's keys see nothing of another's: no rows, no files, no models, no answers."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

import openai
import pytest

from fettle.registry.base_models import not_installed, packaged
from fettle.types.access import KeySpec
from fettle.types.ids import new_id, now
from fettle.types.responses import StoredResponse

MISSING = openai.NotFoundError
ENDPOINT = "/v1/completions"
#: Asked so, the engine of these tests tells which adapter it was to use.
ADAPTER = "adapter?"
#: What every project may ask: the base models that came with Fettle and are installed, and one that was pulled.
SHARED = [*(entry.name for entry in packaged() if not not_installed(entry.name)), "small"]


def run(test):
    return asyncio.run(test())


def rows(order="go"):
    lines = [{"prompt": order, "completion": "yes"}, {"prompt": "more", "completion": "no"}]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def requests(model):
    line = {"custom_id": "1", "method": "POST", "url": ENDPOINT, "body": {"model": model, "prompt": ADAPTER}}
    return json.dumps(line).encode() + b"\n"


@asynccontextmanager
async def tenants(serving, platform):
    """A client of project `a`, one of project `b`, and one of the default project; all may do all in theirs."""
    keys = []
    for name in ("a", "b"):
        platform.projects.create(name)
        keys.append(platform.keys.create(KeySpec(project_id=name, role="admin"))[1])
    async with serving(platform) as server, AsyncExitStack() as stack:
        clients = [server.client(key) for key in keys]
        yield [await stack.enter_async_context(client) for client in (*clients, server.client())]


async def uploaded(client, content=None, purpose="fine-tune"):
    return await client.files.create(file=("rows.jsonl", content or rows()), purpose=purpose)


async def refused(*works):
    for work in works:
        with pytest.raises(MISSING):
            await work


async def reached(get, one, status):
    async with asyncio.timeout(60):
        while (found := await get(one.id)).status != status:
            await asyncio.sleep(0.02)
    return found


async def tuned(client, **asked):
    job = await client.fine_tuning.jobs.create(model="small", training_file=(await uploaded(client)).id, **asked)
    return await reached(client.fine_tuning.jobs.retrieve, job, "succeeded")


def test_files_and_uploads_are_a_projects_own(serving, platform):
    async def test():
        async with tenants(serving, platform) as (a, b, default):
            file = await uploaded(a)
            upload = await a.uploads.create(filename="x", purpose="fine-tune", bytes=3, mime_type="text/plain")
            part = await a.uploads.parts.create(upload.id, data=b"abc")
            for other in (b, default):
                assert [one async for one in other.files.list()] == []
                files, uploads = other.files, other.uploads
                await refused(files.retrieve(file.id), files.content(file.id), files.delete(file.id))
                await refused(files.list(after=file.id), uploads.parts.create(upload.id, data=b"x"))
                await refused(uploads.complete(upload.id, part_ids=[part.id]), uploads.cancel(upload.id))
            # What others begin sweeps away nothing that is not theirs.
            await b.uploads.create(filename="y", purpose="batch", bytes=1, mime_type="text/plain")
            whole = await a.uploads.complete(upload.id, part_ids=[part.id])
            assert (await a.files.content(whole.file.id)).read() == b"abc"
            assert {one.id async for one in a.files.list()} == {file.id, whole.file.id}

    run(test)


def test_the_same_content_of_two_projects_outlives_the_file_of_one(serving, platform):
    async def test():
        async with tenants(serving, platform) as (a, b, _):
            mine, theirs = await uploaded(a), await uploaded(b)
            await b.files.delete(theirs.id)
            assert (await a.files.content(mine.id)).read() == rows()

    run(test)


def test_jobs_and_the_models_that_they_make_are_a_projects_own(serving, platform):
    async def test():
        async with tenants(serving, platform) as (a, b, default):
            job = await tuned(a, suffix="tickets")
            for other in (b, default):
                jobs, models = other.fine_tuning.jobs, other.models
                assert [one async for one in jobs.list()] == []
                assert [one.id async for one in models.list()] == SHARED
                await refused(jobs.retrieve(job.id), jobs.cancel(job.id), jobs.pause(job.id), jobs.resume(job.id))
                await refused(jobs.list_events(job.id), jobs.checkpoints.list(job.id), jobs.list(after=job.id))
                name = job.fine_tuned_model
                await refused(models.retrieve(name), models.delete(name))
                with pytest.raises(MISSING) as caught:
                    await other.completions.create(model=name, prompt=ADAPTER)
                assert "tickets" not in str(caught.value).replace(name, "")
                with pytest.raises(openai.BadRequestError, match="there is no file"):
                    await jobs.create(model="small", training_file=job.training_file)
                await refused(other.files.content(job.result_files[0]))
            assert (await a.files.content(job.result_files[0])).read().startswith(b"step,")
            answer = await a.completions.create(model=job.fine_tuned_model, prompt=ADAPTER)
            assert answer.choices[0].text == platform.of("a").custom_models.list()[0].id

    run(test)


def test_two_projects_may_call_a_model_the_same_and_each_means_its_own(serving, platform):
    async def test():
        async with tenants(serving, platform) as (a, b, _):
            for client in (a, b):
                await tuned(client, suffix="tickets")
            names = [[one.id async for one in client.models.list() if one.id.endswith(":1")] for client in (a, b)]
            first, second = [platform.of(name).custom_models.list() for name in "ab"]
            assert names[0] == names[1] == [first[0].full_name] == [second[0].full_name]
            found = [platform.of(name).engines.find(first[0].full_name).adapter for name in "ab"]
            assert found == [first[0].id, second[0].id]
            assert first[0].id != second[0].id
            await a.models.delete(first[0].full_name)
            assert [one.id for one in platform.of("b").custom_models.list()] == [second[0].id]
            assert platform.of("b").custom_models.path(second[0]).exists()

    run(test)


def test_batches_and_their_answers_are_a_projects_own(serving, platform):
    async def test():
        async with tenants(serving, platform) as (a, b, default):
            mine = (await tuned(a, suffix="tickets")).fine_tuned_model
            file = await uploaded(a, requests(mine), "batch")
            asked = {"endpoint": ENDPOINT, "completion_window": "24h"}
            batch = await a.batches.create(input_file_id=file.id, **asked)
            done = await reached(a.batches.retrieve, batch, "completed")
            assert done.request_counts.completed == 1
            told = (await a.files.content(done.output_file_id)).read().decode()
            assert platform.of("a").custom_models.list()[0].id in told
            for other in (b, default):
                assert [one async for one in other.batches.list()] == []
                await refused(other.batches.retrieve(batch.id), other.batches.cancel(batch.id))
                await refused(other.files.content(done.output_file_id))
                with pytest.raises(openai.BadRequestError, match="there is no file"):
                    await other.batches.create(input_file_id=file.id, **asked)
            # A model that another project has is unknown also in the lines of a file.
            lines = await uploaded(b, requests(mine), "batch")
            failed = await reached(
                b.batches.retrieve, await b.batches.create(input_file_id=lines.id, **asked), "failed"
            )
            assert [one.code for one in failed.errors.data] == ["model_not_found"]

    run(test)


def test_kept_responses_are_a_projects_own(serving, platform):
    async def test():
        async with tenants(serving, platform) as (a, b, default):
            kept = StoredResponse(
                id=new_id("resp"), input_items=(), answer={"id": "kept", "output": []}, created_at=now()
            )
            platform.of("a").responses.keep(kept)
            assert (await a.responses.retrieve(kept.id)).id == "kept"
            for other in (b, default):
                await refused(other.responses.retrieve(kept.id), other.responses.input_items.list(kept.id))
                await refused(other.responses.delete(kept.id))
                with pytest.raises((MISSING, openai.BadRequestError), match=kept.id):
                    await other.responses.create(model="small", input="more", previous_response_id=kept.id)

    run(test)


def test_a_project_that_the_server_did_not_know_at_its_start_is_there_at_once(serving, platform):
    async def test():
        async with serving(platform) as server:
            platform.projects.create("late")
            _, key = platform.keys.create(KeySpec(project_id="late"))
            async with server.client(key) as client:
                assert [one.id async for one in client.models.list()] == SHARED

    run(test)
