import asyncio
import json
from datetime import timedelta

import openai
import pytest

from fettle.api.openai import batch_lines
from fettle.errors import InvalidInput, Unavailable
from fettle.services import batches
from fettle.services.batch_runner import MAX_AT_ONCE
from fettle.store.files import files_in
from fettle.testing.scripted import ScriptedEngines
from fettle.types.generation import BATCH

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
RESPONSES = "/v1/responses"
ASKED_IN = {COMPLETIONS: "prompt", EMBEDDINGS: "input", RESPONSES: "input"}
ENDED = ("completed", "failed", "expired", "cancelled")


def run(test):
    return asyncio.run(test())


@pytest.fixture
def scripted(platform):
    """A whole platform whose engines answer from a script."""
    engines = platform.engines
    platform.engines = ScriptedEngines({"small": ["Hello", " world"], "broken": ["never"]})
    yield platform
    platform.engines = engines


def request(custom_id, url=CHAT, model="small", **body):
    asked = {"messages": [{"role": "user", "content": custom_id}]} if url == CHAT else {ASKED_IN[url]: custom_id}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": model, **asked, **body}}


async def begun(client, rows, endpoint=CHAT, **settings):
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    file = await client.files.create(file=("in.jsonl", text.encode()), purpose="batch")
    return await client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **settings)


async def ended(client, batch):
    async with asyncio.timeout(30):
        while (found := await client.batches.retrieve(batch.id)).status not in ENDED:
            await asyncio.sleep(0.01)
    return found


async def lines(client, file_id):
    """The lines of a file of answers, by their custom ids; no id stands in it twice."""
    rows = [json.loads(line) for line in (await client.files.content(file_id)).text.splitlines()] if file_id else []
    found = {row["custom_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [(CHAT, "chat.completion"), (COMPLETIONS, "text_completion"), (EMBEDDINGS, "list"), (RESPONSES, "response")],
)
def test_every_request_is_answered_as_if_it_had_been_sent_alone(serving, scripted, endpoint, kind):
    async def test():
        async with serving(scripted) as server, server.client() as client:
            names = [f"r{number}" for number in range(3 * MAX_AT_ONCE)]
            batch = await begun(client, [request(name, endpoint) for name in names], endpoint, metadata={"a": "b"})
            done = await ended(client, batch)
            answers = await lines(client, done.output_file_id)
            file = await client.files.retrieve(done.output_file_id)
        assert (batch.status, done.status, done.errors, done.error_file_id) == ("validating", "completed", None, None)
        assert (done.model, done.metadata, done.completion_window) == ("small", {"a": "b"}, "24h")
        assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at < done.expires_at
        counts = done.request_counts
        assert (counts.total, counts.completed, counts.failed) == (len(names), len(names), 0)
        assert answers.keys() == set(names)
        for one in answers.values():
            response = one["response"]
            assert (response["status_code"], response["body"]["object"], one["error"]) == (200, kind, None)
        assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
        assert {one.priority for one in scripted.engines.requests} <= {BATCH}
        assert files_in(scripted.settings.home / "batches") == {}

    run(test)


def test_an_answer_is_one_line_to_whoever_splits_text(serving, scripted):
    """Python's `splitlines` ends a line at more characters than JSON escapes."""
    ends = "".join(map(chr, [10, 13, 11, 12, 28, 29, 30, 0x85, 0x2028, 0x2029]))

    async def test():
        scripted.engines = ScriptedEngines({"small": ["one", ends, "two"]})
        async with serving(scripted) as server, server.client() as client:
            found = await lines(client, (await ended(client, await begun(client, [request("r")]))).output_file_id)
        assert found["r"]["response"]["body"]["choices"][0]["message"]["content"] == f"one{ends}two"

    run(test)


def test_a_request_that_fails_stands_in_the_error_file_and_the_others_are_answered(serving, scripted):
    async def test():
        scripted.engines.failures["broken"] = InvalidInput("this cannot be done")
        async with serving(scripted) as server, server.client() as client:
            done = await ended(client, await begun(client, [request("good"), request("bad", model="broken")]))
            answers, failures = [await lines(client, one) for one in (done.output_file_id, done.error_file_id)]
        assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 1, 1)
        assert (list(answers), list(failures), done.model) == (["good"], ["bad"], None)
        response = failures["bad"]["response"]
        assert (response["status_code"], response["body"]["error"]["message"]) == (400, "this cannot be done")

    run(test)


def test_a_request_is_sent_again_when_its_engine_dies_and_given_up_in_the_end(serving, scripted, monkeypatch):
    monkeypatch.setattr(batch_lines, "RETRY_SECONDS", 0)

    async def test():
        scripted.engines.failures["broken"] = Unavailable("the engine has ended")
        async with serving(scripted) as server, server.client() as client:
            done = await ended(client, await begun(client, [request("bad", model="broken")]))
            failures = await lines(client, done.error_file_id)
        assert failures["bad"]["response"]["status_code"] == 503
        assert len(scripted.engines.requests) == batch_lines.MAX_TRIES

    run(test)


def test_all_that_is_wrong_with_the_file_is_told_with_its_lines_and_nothing_is_answered(serving, scripted):
    async def test():
        rows = [
            request("good"),
            "not json",
            request("good"),
            request("elsewhere", url=COMPLETIONS),
            request("who", model="smal"),
            request("hot", temperature=9),
            request("stream", stream=True),
            {"custom_id": "", "method": "GET", "url": CHAT, "more": 1},
        ]
        async with serving(scripted) as server, server.client() as client:
            failed = await ended(client, await begun(client, rows))
        found = {(fault.line, fault.code, fault.param) for fault in failed.errors.data}
        assert found >= {
            (2, "invalid_json_line", None),
            (3, "duplicate_custom_id", "custom_id"),
            (4, "invalid_url", "url"),
            (5, "model_not_found", "body.model"),
            (6, "invalid_request", "body.temperature"),
            (7, "invalid_request", "body.stream"),
        }
        assert {fault.line for fault in failed.errors.data} == {2, 3, 4, 5, 6, 7, 8}
        last = next(fault.message for fault in failed.errors.data if fault.line == 8)
        assert all(field in last for field in ("custom_id", "method", "body", "more"))
        assert (failed.status, failed.output_file_id, scripted.engines.requests) == ("failed", None, [])
        assert failed.failed_at

    run(test)


def test_an_empty_file_is_told_without_where_it_is(serving, scripted):
    async def test():
        async with serving(scripted) as server, server.client() as client:
            failed = await ended(client, await begun(client, [""]))
        assert failed.errors.data[0].message.startswith("the file is empty")

    run(test)


def test_what_cannot_be_a_batch_is_refused(serving, scripted):
    async def test():
        async with serving(scripted) as server, server.client() as client:
            rows = await client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
            with pytest.raises(openai.BadRequestError) as caught:
                await client.batches.create(input_file_id="", endpoint="/v1/videos", completion_window="1h")
            for fault in ("input_file_id", "/v1/videos", CHAT, "24h"):
                assert fault in caught.value.body["message"]
            for file_id, told in ((rows.id, "'batch' was expected"), ("file-nothing", "no file 'file-nothing'")):
                with pytest.raises(openai.BadRequestError, match=told):
                    await client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
            with pytest.raises(openai.NotFoundError, match="unknown batch"):
                await client.batches.retrieve("batch_nothing")

    run(test)


def test_no_more_than_a_few_requests_run_at_once_whatever_the_number_of_batches(serving, scripted, until):
    async def test():
        scripted.engines.hold_after = 1
        async with serving(scripted) as server, server.client() as client:
            made = [await begun(client, [request(f"r{n}") for n in range(2 * MAX_AT_ONCE)]) for _ in range(2)]
            await until(lambda: len(scripted.engines.running) == MAX_AT_ONCE)
            assert (await client.batches.retrieve(made[0].id)).status == "in_progress"
            assert len(scripted.engines.requests) == MAX_AT_ONCE
            scripted.engines.go_on.set()
            assert [(await ended(client, batch)).status for batch in made] == ["completed"] * 2
            assert [batch.id async for batch in client.batches.list(limit=1)] == [batch.id for batch in made[::-1]]

    run(test)


def test_a_batch_that_is_cancelled_keeps_the_answers_that_it_has(serving, scripted, until):
    async def test():
        engines = scripted.engines
        engines.failures["broken"], engines.hold_after = InvalidInput("this cannot be done"), 1
        async with serving(scripted) as server, server.client() as client:
            batch = await begun(client, [request("bad", model="broken"), request("slow"), request("slower")])
            await until(lambda: scripted.batches.get(batch.id).num_failed == 1 and len(engines.running) == 2)
            assert (await client.batches.cancel(batch.id)).status == "cancelling"
            done = await ended(client, batch)
            with pytest.raises(openai.ConflictError, match="is cancelled and cannot become cancelling"):
                await client.batches.cancel(batch.id)
            assert list(await lines(client, done.error_file_id)) == ["bad"]
        assert (done.status, len(engines.cancelled), engines.running) == ("cancelled", 2, [])
        assert (done.request_counts.total, done.request_counts.failed, done.output_file_id) == (3, 1, None)
        assert done.cancelling_at <= done.cancelled_at

    run(test)


def test_what_is_not_answered_in_time_is_told_in_the_error_file(serving, scripted, monkeypatch):
    monkeypatch.setattr(batches, "WINDOW", timedelta(seconds=0.3))

    async def test():
        scripted.engines.hold_after = 1
        async with serving(scripted) as server, server.client() as client:
            done = await ended(client, await begun(client, [request(f"r{n}") for n in range(20)]))
            failures = await lines(client, done.error_file_id)
        assert (done.status, done.request_counts.failed, len(failures)) == ("expired", 20, 20)
        assert {line["error"]["code"] for line in failures.values()} == {"batch_expired"}
        assert done.expired_at

    run(test)


def test_after_a_stop_every_request_is_answered_exactly_once(serving, scripted, until):
    async def test():
        engines = scripted.engines
        engines.failures["broken"], engines.hold_after = InvalidInput("this cannot be done"), 0
        quick, slow = [{f"{word}{n}" for n in range(MAX_AT_ONCE)} for word in ("quick", "slow")]
        rows = [*(request(name, model="broken") for name in quick), *(request(name) for name in slow)]
        async with serving(scripted) as server, server.client() as client:
            batch = await begun(client, rows)
            await until(lambda: scripted.batches.get(batch.id).num_failed == len(quick))
            await until(lambda: len(engines.running) == len(slow))
        assert scripted.batches.get(batch.id).state == "in_progress"
        # As if the power had failed while a line was written.
        with (scripted.settings.home / "batches" / batch.id / "output.jsonl").open("ab") as file:
            file.write(b'{"custom_id": "slow0", "resp')
        engines.go_on.set()
        async with serving(scripted) as server, server.client() as client:
            done = await ended(client, batch)
            answers, failures = [await lines(client, one) for one in (done.output_file_id, done.error_file_id)]
        assert (done.status, answers.keys(), failures.keys()) == ("completed", slow, quick)
        assert len([one for one in engines.requests if one.model == "broken"]) == len(quick)

    run(test)


def test_a_disk_that_is_full_holds_a_batch_up_and_loses_nothing(serving, scripted, monkeypatch):
    monkeypatch.setattr("fettle.services.batch_runner.LOOK_SECONDS", 0.05)
    add = batches.Journal.add
    failed = []

    def fails_once(journal, *answers):
        if not failed:
            failed.append(answers)
            raise OSError(28, "No space left on device")
        add(journal, *answers)

    monkeypatch.setattr(batches.Journal, "add", fails_once)

    async def test():
        async with serving(scripted) as server, server.client() as client:
            done = await ended(client, await begun(client, [request("a"), request("b")]))
            answers = await lines(client, done.output_file_id)
        assert (done.status, answers.keys(), len(failed)) == ("completed", {"a", "b"}, 1)

    run(test)
