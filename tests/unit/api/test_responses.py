"""/v1/responses, as the official client sends, streams and parses it."""

import asyncio
import json

import openai
import pytest
from pydantic import BaseModel

from fettle.errors import InvalidInput, Unavailable
from fettle.testing.scripted import ScriptedPlatform
from fettle.types.generation import Grammar

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "name": "weather", "description": "Tells it.", "parameters": SCHEMA}
CHAT_TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": SCHEMA}}
CALL = ("<tool", "_call>\n", '{"name": "weather", "arguments": {"city": ', '"Oslo"}}\n', "</tool_call>")
TWO = ("I look.", " ", *CALL, "\n", *CALL)
LOGPROBS = ["message.output_text.logprobs"]


class Place(BaseModel):
    city: str


def run(test):
    return asyncio.run(test())


def ask(serving, script=("Hello", " wide", " world"), **asked):
    """The answer, and the request that the engine got."""

    async def test():
        platform = ScriptedPlatform(script)
        async with serving(platform) as server, server.client() as client:
            answer = await client.responses.create(**({"model": "base", "input": "Hi", "store": False} | asked))
            told = [event async for event in answer] if asked.get("stream") else answer
        return told, platform.engines.requests[0]

    return run(test)


def without_ids(response):
    """What is the same in two answers to the same question."""
    told = response.model_dump(exclude={"id", "created_at", "completed_at", "output"})
    keys = {"id", "call_id"}
    return told, [
        {name: value for name, value in item.to_dict().items() if name not in keys} for item in response.output
    ]


def test_a_text_is_answered_with_a_message(serving):
    answer, request = ask(serving, instructions="Be kind.", temperature=0.5, top_p=0.9, max_output_tokens=8)
    assert (answer.object, answer.status, answer.output_text) == ("response", "completed", "Hello wide world")
    (message,) = answer.output
    assert (message.type, message.role, message.status) == ("message", "assistant", "completed")
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (3, 3, 6)
    assert (answer.instructions, answer.temperature, answer.top_p, answer.max_output_tokens) == (
        "Be kind.",
        0.5,
        0.9,
        8,
    )
    assert [(turn.role, turn.content) for turn in request.messages] == [("system", "Be kind."), ("user", "Hi")]
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.max_tokens) == (0.5, 0.9, 8)


ITEMS = [
    {"role": "developer", "content": "Be kind."},
    {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "In "}, {"type": "input_text", "text": "Oslo?"}],
    },
    {"role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'},
    {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": '{"city": "Bergen"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "sun"}]},
]


def call(number, city):
    return {
        "id": f"c{number}",
        "type": "function",
        "function": {"name": "weather", "arguments": json.dumps({"city": city})},
    }


TURNS = [
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": "In Oslo?"},
    {"role": "assistant", "content": "I look.", "tool_calls": [call(1, "Oslo"), call(2, "Bergen")]},
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    {"role": "tool", "tool_call_id": "c2", "content": "sun"},
]


def test_the_same_question_in_both_dialects_is_the_same_request(serving):
    form = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
    chat_form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
    shared = {"model": "base", "temperature": 0.3, "top_p": 0.7, "parallel_tool_calls": False, "top_logprobs": 2}

    async def test():
        async with serving() as server, server.client() as client:
            await client.responses.create(
                input=ITEMS,
                tools=[TOOL],
                text={"format": form},
                max_output_tokens=5,
                include=LOGPROBS,
                store=False,
                **shared,
            )
            await client.chat.completions.create(
                messages=TURNS, tools=[CHAT_TOOL], response_format=chat_form, max_tokens=5, logprobs=True, **shared
            )
            named = {"type": "function", "name": "weather"}
            await client.responses.create(model="base", input="a", tools=[TOOL], tool_choice=named, store=False)
            chat_named = {"type": "function", "function": {"name": "weather"}}
            turn = {"role": "user", "content": "a"}
            await client.chat.completions.create(
                model="base", messages=[turn], tools=[CHAT_TOOL], tool_choice=chat_named
            )
        return server.engines.requests

    first, chat_first, second, chat_second = run(test)
    assert (first, second) == (chat_first, chat_second)
    assert first.sampling.grammar == Grammar(kind="json", text=json.dumps(SCHEMA))


@pytest.mark.parametrize("script", [("Hello", " wide", " world"), CALL, TWO], ids=["text", "call", "both"])
def test_a_stream_says_what_the_whole_answer_says(serving, script):
    whole, _ = ask(serving, script, tools=[TOOL], include=LOGPROBS)
    events, _ = ask(serving, script, tools=[TOOL], include=LOGPROBS, stream=True)
    assert without_ids(events[-1].response) == without_ids(whole)
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_the_events_of_a_text_come_in_their_order_and_add_up(serving):
    events, _ = ask(serving, stream=True)
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * 3,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert "".join(event.delta for event in events[4:7]) == events[7].text == events[9].item.content[0].text
    assert {event.response.id for event in events if hasattr(event, "response")} == {events[-1].response.id}
    assert {event.item_id for event in events[3:9]} == {events[-1].response.output[0].id}
    assert (events[0].response.status, events[0].response.usage) == ("in_progress", None)


def test_the_clients_own_stream_collects_text_and_calls(serving):
    async def test():
        async with serving(ScriptedPlatform(TWO)) as server, server.client() as client:
            asked = {"model": "base", "input": "In Oslo?", "tools": [TOOL | {"strict": True}], "store": False}
            async with client.responses.stream(**asked) as stream:
                events = [event async for event in stream]
                final = await stream.get_final_response()
        message, *calls = final.output
        assert message.content[0].text == "I look. "
        assert [(one.name, one.parsed_arguments) for one in calls] == [("weather", {"city": "Oslo"})] * 2
        assert len({one.call_id for one in calls}) == 2
        deltas = [event.snapshot for event in events if event.type == "response.function_call_arguments.delta"]
        assert deltas == [one.arguments for one in calls]

    run(test)


def test_the_clients_own_stream_sees_arguments_grow_of_calls_that_must_be(serving):
    async def test():
        async with serving(ScriptedPlatform((*CALL, "\n", *CALL))) as server, server.client() as client:
            asked = {"model": "base", "input": "In Oslo?", "tools": [TOOL | {"strict": True}], "store": False}
            async with client.responses.stream(**asked, tool_choice="required") as stream:
                events = [event async for event in stream]
                final = await stream.get_final_response()
        assert [(one.type, one.status, one.parsed_arguments) for one in final.output] == [
            ("function_call", "completed", {"city": "Oslo"})
        ] * 2
        grown = [event.snapshot for event in events if event.type == "response.function_call_arguments.delta"]
        assert grown == ['{"city": ', '{"city": "Oslo"}'] * 2

    run(test)


def test_a_call_that_must_be_and_is_cut_off_says_so(serving):
    answer, _ = ask(serving, CALL, tools=[TOOL], tool_choice="required", max_output_tokens=3)
    (call,) = answer.output
    assert (answer.status, call.status, call.arguments) == ("incomplete", "incomplete", '{"city": ')


def test_the_client_parses_an_answer_with_a_schema(serving):
    async def test():
        platform = ScriptedPlatform(('{"city": ', '"Oslo"}'))
        async with serving(platform) as server, server.client() as client:
            asked = {"model": "base", "input": "Where?", "text_format": Place, "store": False}
            parsed = await client.responses.parse(**asked)
            async with client.responses.stream(**asked) as stream:
                streamed = await stream.get_final_response()
        assert parsed.output_parsed == streamed.output_parsed == Place(city="Oslo")
        assert platform.engines.requests[0].sampling.grammar.kind == "json"

    run(test)


def test_log_probabilities_are_told_of_the_text(serving):
    answer, request = ask(serving, include=LOGPROBS, top_logprobs=2)
    told = answer.output[0].content[0].logprobs
    assert [one.token for one in told] == ["Hello", " wide", " world"]
    assert [len(one.top_logprobs) for one in told] == [2, 2, 2]
    assert request.sampling.logprobs == 2
    answer, _ = ask(serving, CALL, tools=[TOOL], include=LOGPROBS)
    assert [item.type for item in answer.output] == ["function_call"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_cut_off_says_so(serving, stream):
    told, _ = ask(serving, max_output_tokens=2, stream=stream)
    answer = told[-1].response if stream else told
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (answer.output_text, answer.output[0].status) == ("Hello wide", "incomplete")
    if stream:
        assert told[-1].type == "response.incomplete"


def test_what_goes_wrong_before_a_stream_begins_is_an_ordinary_error_and_later_its_last_event(serving):
    async def test():
        async with serving() as server, server.client() as client:
            with pytest.raises(openai.NotFoundError, match="unknown model"):
                await client.responses.create(model="bass", input="Hi", stream=True)
            server.engines.failures["base"] = InvalidInput("this cannot be done")
            with pytest.raises(openai.BadRequestError, match="cannot be done"):
                await client.responses.create(model="base", input="Hi", stream=True)
            server.engines.failures["base"], server.engines.fails_after = Unavailable("the engine died"), 2
            events = [event async for event in await client.responses.create(model="base", input="Hi", stream=True)]
        assert (events[-1].type, events[-1].response.status) == ("response.failed", "failed")
        assert (events[-1].response.error.code, events[-1].response.error.message) == (
            "server_error",
            "the engine died",
        )

    run(test)


def test_a_client_that_hangs_up_stops_the_work(serving, until):
    async def test():
        async with serving() as server, server.client() as client:
            server.engines.hold_after = 1
            stream = await client.responses.create(model="base", input="Hi", stream=True)
            await anext(stream)
            await stream.close()
            await until(lambda: server.engines.cancelled)
            assert not server.engines.running

    run(test)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"background": True, "conversation": "c", "max_tool_calls": 3},
            ["'background'", "'conversation'", "'max_tool_calls'"],
        ),
        ({"truncation": "auto"}, ["'truncation'", "'disabled'"]),
        ({"reasoning": {"effort": "high"}}, ["'reasoning.effort'"]),
        ({"include": ["reasoning.encrypted_content"]}, ["'include.0'", "message.output_text.logprobs"]),
        ({"prompt": {"id": "p"}, "moderation": {"model": "m"}}, ["'prompt'", "'moderation'"]),
        ({"tools": [{"type": "web_search"}]}, ["'tools.0.type'", "'function'"]),
        ({"tools": [TOOL, TOOL]}, ["'weather' more than once"]),
        ({"tool_choice": "required"}, ["'tool_choice'", "'tools' is empty"]),
        ({"tools": [TOOL], "tool_choice": "required", "text": {"format": {"type": "json_object"}}}, ["'text.format'"]),
        ({"text": {"format": {"type": "json_schema"}}}, ["'schema'"]),
        ({"text": {"verbosity": "high"}}, ["'text.verbosity'"]),
        ({"top_logprobs": 3}, ["'include'"]),
        ({"stream_options": {"include_obfuscation": False}}, ["'stream'"]),
        ({"temperature": 3, "max_output_tokens": 0, "top_p": 0}, ["'temperature'", "'max_output_tokens'", "'top_p'"]),
        ({"metadata": {"a" * 65: "b"}}, ["'metadata."]),
        ({"input": []}, ["'input'", "a list of one item or more"]),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, ["'input.0'", "'function_call_output'"]),
        ({"input": [3]}, ["'input.0'", "an object of type"]),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, ["'input_image'"]),
        ({"input": [{"role": "tool", "content": "a"}]}, ["role"]),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "[1]"}]}, ["JSON object"]),
        ({"input": [{"type": "function_call_output", "call_id": "c9", "output": "a"}]}, ["'c9'", "no such call"]),
        ({"messages": [], "max_tokens": 3}, ["'messages'", "'max_tokens'"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_done_is_refused_with_every_fault(serving, asked, words):
    async def test():
        async with serving() as server, server.client() as client:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.responses.create(model="base", **({"input": "Hi"} | {"extra_body": asked}))
            assert not server.engines.requests
        return caught.value.body["message"]

    message = run(test)
    assert all(word in message for word in words), message
