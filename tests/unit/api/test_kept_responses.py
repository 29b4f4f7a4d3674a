"""Responses that are kept: asked for again, gone on behind, deleted, and dropped in the end."""

import asyncio

import openai
import pytest

from fettle.errors import NotFound, StorageFailed
from fettle.services import responses
from fettle.testing.scripted import ScriptedPlatform
from fettle.types.ids import now
from fettle.types.responses import StoredResponse

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
CALL = ("<tool", "_call>\n", '{"name": "weather", "arguments": {"city": ', '"Oslo"}}\n', "</tool_call>")
TWO = ("I look.", " ", *CALL, "\n", *CALL)
ITEMS = [
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": [{"type": "input_text", "text": "In Oslo?"}]},
    {"role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "rain"},
]


def run(test):
    return asyncio.run(test())


async def gone(request):
    """That what is asked for is not there."""
    with pytest.raises(openai.NotFoundError, match="there is no response"):
        await request


@pytest.fixture
def kept(platform):
    """A platform that keeps answers, whose models answer from a script."""
    own, platform.engines = platform.engines, ScriptedPlatform().engines
    yield platform
    platform.engines = own


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_kept_with_what_it_answered_until_it_is_deleted(serving, kept, stream):
    async def test():
        async with serving(kept) as server, server.client() as client:
            answer = await client.responses.create(
                model="base", input=ITEMS, tools=[TOOL], metadata={"for": "test"}, stream=stream
            )
            if stream:
                answer = [event async for event in answer][-1].response
            assert (await client.responses.retrieve(answer.id)).to_dict() == answer.to_dict()
            listed = client.responses.input_items.list(answer.id, limit=2, order="asc")
            items = [item.to_dict() async for item in listed]
            newest = await client.responses.input_items.list(answer.id, limit=1)
            assert await client.responses.delete(answer.id) is None
            for asked in (client.responses.retrieve(answer.id), client.responses.delete(answer.id)):
                await gone(asked)
        assert [item["type"] for item in items] == [item.get("type", "message") for item in ITEMS]
        assert [item["content"][0]["text"] for item in items[:3]] == ["Be kind.", "In Oslo?", "I look."]
        assert (newest.data[0].id, newest.has_more) == (items[-1]["id"], True)
        assert answer.metadata == {"for": "test"}

    run(test)


def test_a_conversation_goes_on_behind_an_answer_without_its_instructions(serving, kept):
    async def test():
        async with serving(kept) as server, server.client() as client:
            first = await client.responses.create(model="base", input="Hi", instructions="Be kind.")
            asked = {"model": "base", "instructions": "Be brief."}
            second = await client.responses.create(input="And?", previous_response_id=first.id, **asked)
            third = await client.responses.create(input="So?", previous_response_id=second.id, store=False, **asked)
            await gone(client.responses.retrieve(third.id))
            await gone(client.responses.create(input="?", previous_response_id=third.id, **asked))
            await client.responses.delete(first.id)
            await gone(client.responses.create(input="?", previous_response_id=second.id, **asked))
        assert second.previous_response_id == first.id
        return server.engines.requests

    said = [[(turn.role, turn.content) for turn in request.messages] for request in run(test)]
    hello = ("assistant", "Hello wide world")
    brief = ("system", "Be brief.")
    assert said == [
        [("system", "Be kind."), ("user", "Hi")],
        [brief, ("user", "Hi"), hello, ("user", "And?")],
        [brief, ("user", "Hi"), hello, ("user", "And?"), hello, ("user", "So?")],
    ]


def test_the_tokens_before_an_answer_can_be_counted(serving, kept):
    async def test():
        async with serving(kept) as server, server.client() as client:
            first = await client.responses.create(model="base", input="Hi")
            return await client.responses.input_tokens.count(
                model="base", input="And?", instructions="Be brief.", previous_response_id=first.id
            )

    counted = run(test)
    # The scripted model takes letters for tokens.
    assert counted.object == "response.input_tokens"
    assert counted.input_tokens == sum(map(len, ("Be brief.", "Hi", "Hello wide world", "And?")))


def test_a_project_finds_its_own_answers_only(platform):
    mine, other = platform.of("mine").responses, platform.of("other").responses
    mine.keep(StoredResponse(id="resp_1", input_items=(), answer={"output": []}, created_at=now()))
    assert mine.get("resp_1").project_id == "mine"
    for asked in (other.get, other.conversation, other.delete):
        with pytest.raises(NotFound, match="resp_1"):
            asked("resp_1")
    assert mine.conversation("resp_1") == []


def test_the_output_of_a_call_can_be_sent_behind_the_answer_that_called(serving, kept):
    async def test():
        kept.engines = ScriptedPlatform(TWO).engines
        async with serving(kept) as server, server.client() as client:
            asked = {"model": "base", "tools": [TOOL]}
            first = await client.responses.create(input="In Oslo?", **asked)
            outputs = [
                {"type": "function_call_output", "call_id": item.call_id, "output": "rain"} for item in first.output[1:]
            ]
            await client.responses.create(input=outputs, previous_response_id=first.id, **asked)
            # As a client does that keeps the conversation itself.
            turns = [{"role": "user", "content": "In Oslo?"}, *first.output, *outputs]
            await client.responses.create(input=turns, store=False, **asked)
        _, behind, whole = server.engines.requests
        assert behind == whole
        assert [turn.role for turn in whole.messages] == ["user", "assistant", "tool", "tool"]
        assert [call.id for call in whole.messages[1].tool_calls] == [one["call_id"] for one in outputs]

    run(test)


def test_answers_whose_time_is_over_are_dropped(kept, monkeypatch):
    def keep(number):
        kept.responses.keep(
            StoredResponse(id=f"resp_{number}", input_items=(), answer={"output": []}, created_at=now())
        )

    keep(1)
    monkeypatch.setattr(responses, "now", lambda: now() + responses.LIFETIME)
    keep(2)
    with pytest.raises(NotFound, match="resp_1"):
        kept.responses.get("resp_1")
    kept.responses.sweep()
    with pytest.raises(NotFound, match="resp_2"):
        kept.responses.get("resp_2")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_cannot_be_kept_is_none(serving, kept, monkeypatch, stream):
    def fail(_):
        raise StorageFailed("the disk is full")

    async def test():
        monkeypatch.setattr(kept.responses, "keep", fail)
        async with serving(kept) as server, server.client() as client:
            asked = client.responses.create(model="base", input="Hi", stream=stream)
            if not stream:
                with pytest.raises(openai.APIStatusError, match="disk is full") as caught:
                    await asked
                assert caught.value.status_code == 507
                return
            events = [event async for event in await asked]
        assert (events[-1].type, events[-1].response.error.message) == ("response.failed", "the disk is full")

    run(test)


def test_a_kept_answer_cannot_be_streamed_again(serving, kept):
    async def test():
        async with serving(kept) as server, server.client() as client:
            answer = await client.responses.create(model="base", input="Hi")
            with pytest.raises(openai.BadRequestError, match="only whole answers"):
                await client.responses.retrieve(answer.id, stream=True)

    run(test)
