"""A job's events and its log are followed as they come, and a client that was cut off goes on where it was."""

import asyncio
import json
from contextlib import AsyncExitStack

import httpx2 as httpx

from fettle.api.native.following import MOST_BYTES_AT_ONCE, new_lines
from fettle.store.repository import Repository
from fettle.types.ids import MAX_NUMBER
from fettle.types.resources import TuningJob
from fettle.types.tuning import TuningSpec

KEY = {"authorization": "Bearer fettle-test"}


def run(test):
    return asyncio.run(test())


def queued(platform, folder):
    """A job that waits for somebody to run it."""
    path = folder / "rows.jsonl"
    path.write_text('{"prompt": "go", "completion": "yes"}\n' * 3)
    return platform.tuning_jobs.create(TuningSpec(base="small", method="lora", name="tickets"), path).id


def moved(platform, job_id, state):
    Repository(platform._database).move(TuningJob, job_id, state)
    platform.events.append(job_id, state)


async def events_of(lines):
    """The events of a stream as they come, each as what its lines say by their names."""
    found = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        if line:
            found[name] = value
        else:
            if found.pop("", None) is None:
                yield found
            found = {}


def test_a_job_is_followed_until_it_ends_and_from_where_the_client_was(serving, platform, tmp_path):
    async def test():
        job = queued(platform, tmp_path)
        path = f"/api/v1/tuning-jobs/{job}/events"
        async with serving(platform) as server, httpx.AsyncClient(base_url=server.url, headers=KEY) as client:
            async with client.stream("GET", path, params={"follow": True}) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                events = events_of(stream.aiter_lines())
                first = await anext(events)
                # Only now, so that it is seen whether events come before the job has ended.
                platform.events.append(job, "step", loss=1.5)
                second = await anext(events)
                for state in ("running", "succeeded"):
                    moved(platform, job, state)
                rest = [event async for event in events]
            resumed = await client.get(path, params={"follow": True}, headers={"last-event-id": second["id"]})
            missing = await client.get("/api/v1/tuning-jobs/none/events", params={"follow": True})
        assert [one["event"] for one in (first, second)] == ["created", "step"]
        assert json.loads(second["data"])["body"] == {"loss": 1.5}
        assert [one.get("event") for one in rest] == ["running", "succeeded", None]
        assert rest[-1] == {"data": "[DONE]"}
        again = [line.removeprefix("id: ") for line in resumed.text.splitlines() if line.startswith("id: ")]
        assert again == [one["id"] for one in rest[:-1]]
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")

    run(test)


def test_who_follows_does_not_keep_a_server_from_ending(serving, platform, tmp_path):
    async def test():
        path = f"/api/v1/tuning-jobs/{queued(platform, tmp_path)}/events"
        async with httpx.AsyncClient(headers=KEY) as client, AsyncExitStack() as stack:
            async with serving(platform) as server:
                following = client.stream("GET", server.url + path, params={"follow": True})
                stream = await stack.enter_async_context(following)
                events = events_of(stream.aiter_lines())
                await anext(events)
            # Here it has ended, in far less than the time that it gives to what runs.
            (error, end) = [json.loads(one["data"]) if "error" in one["data"] else one async for one in events]
        assert error["error"]["code"] == "unavailable"
        assert end == {"data": "[DONE]"}

    run(test)


def test_a_log_is_read_whole_and_followed_line_by_line(serving, platform, tmp_path):
    async def test():
        job = queued(platform, tmp_path)
        log = platform.tuning_jobs.log_path(job)
        path = f"/api/v1/tuning-jobs/{job}/log"
        async with serving(platform) as server, httpx.AsyncClient(base_url=server.url, headers=KEY) as client:
            empty = await client.get(path)
            log.parent.mkdir(exist_ok=True)
            log.write_text("one\ntw")
            async with client.stream("GET", path, params={"follow": True}) as stream:
                events = events_of(stream.aiter_lines())
                first = await anext(events)
                log.write_text("one\ntwo\nthr")
                second = await anext(events)
                for state in ("running", "failed"):
                    moved(platform, job, state)
                rest = [event async for event in events]
            whole = await client.get(path)
        assert (empty.status_code, empty.text) == (200, "")
        assert [json.loads(one["data"])["text"] for one in (first, second, rest[0])] == ["one", "two", "thr"]
        assert [one["id"] for one in (first, second)] == ["4", "8"]
        assert rest[1:] == [{"data": "[DONE]"}]
        assert (whole.text, whole.headers["content-type"]) == ("one\ntwo\nthr", "text/plain; charset=utf-8")

    run(test)


def test_a_line_without_an_end_is_told_in_parts_and_never_held_whole(platform, tmp_path):
    job = queued(platform, tmp_path)
    log = platform.tuning_jobs.log_path(job)
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"x" * (MOST_BYTES_AT_ONCE + 5))
    (part,), has_ended = new_lines(platform.tuning_jobs, job, 0)
    assert (part.id, has_ended) == (MOST_BYTES_AT_ONCE, False)
    assert new_lines(platform.tuning_jobs, job, part.id) == ([], False)
    assert new_lines(platform.tuning_jobs, job, MAX_NUMBER) == ([], False)
