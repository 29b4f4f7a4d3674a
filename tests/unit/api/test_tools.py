"""Tools and formats of answers, as the official client sends and receives them."""

import asyncio
import json

import openai
import pytest

from fettle.testing.scripted import ScriptedPlatform
from fettle.types.generation import Grammar

HELLO = [{"role": "user", "content": "What is it like in Oslo?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "time"}}
CALL = ("<tool", "_call>\n", '{"name": "weather", "arguments": {"city": ', '"Oslo"}}\n', "</tool_call>")
TWO = ("I look.", " ", *CALL, "\n", *CALL)
NAMED = {"type": "function", "function": {"name": "weather"}}


def run(test):
    return asyncio.run(test())


def ask(serving, script=CALL, **asked):
    """The answer to a chat, and the request that the engine got."""

    async def test():
        platform = ScriptedPlatform(script)
        async with serving(platform) as server, server.client() as client:
            answer = await client.chat.completions.create(**({"model": "base", "messages": HELLO} | asked))
            told = [chunk async for chunk in answer] if asked.get("stream") else answer
        return told, platform.engines.requests[0]

    return run(test)


def calls_of(choice):
    return [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or []]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [({}, "tool_calls"), ({"tool_choice": "required"}, "tool_calls"), ({"tool_choice": NAMED}, "stop")],
)
def test_a_call_in_an_answer_is_told_as_a_call(serving, asked, reason):
    answer, _ = ask(serving, tools=[TOOL, OTHER], **asked)
    (choice,) = answer.choices
    assert choice.message.content is None
    assert calls_of(choice) == [("weather", {"city": "Oslo"})]
    assert choice.message.tool_calls[0].id.startswith("call_")
    assert choice.finish_reason == reason


def test_an_answer_may_say_something_and_call_twice_unless_that_is_not_wanted(serving):
    answer, _ = ask(serving, TWO, tools=[TOOL])
    assert answer.choices[0].message.content == "I look. "
    assert len(calls_of(answer.choices[0])) == 2
    answer, request = ask(serving, TWO, tools=[TOOL], parallel_tool_calls=False)
    assert len(calls_of(answer.choices[0])) == 1
    assert not request.parallel_tool_calls


def test_an_answer_without_a_call_is_text(serving):
    answer, _ = ask(serving, ("Cold", "."), tools=[TOOL])
    (choice,) = answer.choices
    assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == ("Cold.", None, "stop")


def test_without_tools_an_answer_that_looks_like_a_call_is_text(serving):
    for asked in ({}, {"tools": [TOOL], "tool_choice": "none"}):
        answer, request = ask(serving, **asked)
        assert answer.choices[0].message.content == "".join(CALL)
        assert request.tools == ()


def test_a_call_that_is_cut_is_text_and_says_so(serving):
    answer, _ = ask(serving, tools=[TOOL], max_tokens=3)
    (choice,) = answer.choices
    assert choice.message.content == "".join(CALL[:3])
    assert choice.finish_reason == "length"


def test_a_stream_tells_the_same_calls_each_whole_and_with_its_number(serving):
    chunks, _ = ask(serving, TWO, tools=[TOOL], stream=True, n=2)
    for index in (0, 1):
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == index]
        assert "".join(choice.delta.content or "" for choice in mine) == "I look. "
        calls = [call for choice in mine for call in choice.delta.tool_calls or []]
        assert [call.index for call in calls] == [0, 1]
        assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Oslo"}] * 2
        assert {(call.type, call.function.name) for call in calls} == {("function", "weather")}
        assert len({call.id for call in calls}) == 2
        assert [choice.finish_reason for choice in mine if choice.finish_reason] == ["tool_calls"]


def test_the_clients_own_helper_puts_a_streamed_call_together(serving):
    async def test():
        async with serving(ScriptedPlatform(TWO)) as server, server.client() as client:
            asked = {"model": "base", "messages": HELLO, "tools": [TOOL]}
            async with client.chat.completions.stream(**asked) as stream:
                return await stream.get_final_completion()

    (choice,) = run(test).choices
    assert calls_of(choice) == [("weather", {"city": "Oslo"})] * 2


@pytest.mark.parametrize(("choice", "reason"), [("required", "tool_calls"), (NAMED, "stop")])
def test_arguments_of_a_call_that_must_be_are_streamed_as_they_come(serving, choice, reason):
    chunks, _ = ask(serving, CALL, tools=[TOOL, OTHER], tool_choice=choice, stream=True)
    told = [chunk.choices[0] for chunk in chunks]
    calls = [call for choice in told for call in choice.delta.tool_calls or []]
    assert (calls[0].type, calls[0].function.name) == ("function", "weather")
    assert calls[0].id.startswith("call_")
    assert [call.function.arguments for call in calls if call.function.arguments] == ['{"city": ', '"Oslo"}']
    assert {call.index for call in calls} == {0}
    assert not any(choice.delta.content for choice in told)
    assert told[-1].finish_reason == reason


def test_the_clients_own_helper_puts_calls_together_that_come_in_pieces(serving):
    async def test():
        async with serving(ScriptedPlatform((*CALL, "\n", *CALL))) as server, server.client() as client:
            asked = {"model": "base", "messages": HELLO, "tools": [TOOL], "tool_choice": "required"}
            async with client.chat.completions.stream(**asked) as stream:
                return await stream.get_final_completion()

    (choice,) = run(test).choices
    assert calls_of(choice) == [("weather", {"city": "Oslo"})] * 2


def test_log_probabilities_of_a_call_are_told_too(serving):
    chunks, _ = ask(serving, tools=[TOOL], stream=True, logprobs=True)
    told = [one.token for chunk in chunks if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content]
    assert told == list(CALL)


def test_the_engine_learns_what_may_and_what_must_be_called(serving):
    for choice, must in [("auto", ()), ("required", ("weather", "time")), (NAMED, ("weather",))]:
        _, request = ask(serving, tools=[TOOL, OTHER], tool_choice=choice)
        assert [tool.name for tool in request.tools] == ["weather", "time"]
        assert json.loads(request.tools[0].parameters) == SCHEMA
        assert request.must_call == must


def test_earlier_calls_and_what_tools_answered_reach_the_engine(serving):
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    turns = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "cold"},
    ]
    _, request = ask(serving, messages=[*HELLO, *turns], tools=[TOOL])
    _, assistant, tool = request.messages
    assert (assistant.content, assistant.tool_calls[0].name) == ("", "weather")
    assert json.loads(assistant.tool_calls[0].arguments) == {"city": "Oslo"}
    assert (tool.role, tool.content, tool.tool_call_id) == ("tool", "cold", "c1")


NAMED_SCHEMA = {"name": "place", "schema": SCHEMA, "strict": True}


@pytest.mark.parametrize(
    ("field", "kind", "expected"),
    [
        ({"response_format": {"type": "json_object"}}, "json", {"type": "object"}),
        ({"response_format": {"type": "json_schema", "json_schema": NAMED_SCHEMA}}, "json", SCHEMA),
        ({"structured_outputs": {"json": SCHEMA}}, "json", SCHEMA),
        ({"structured_outputs": {"json": json.dumps(SCHEMA)}}, "json", SCHEMA),
        ({"structured_outputs": {"json_object": True}}, "json", {"type": "object"}),
        ({"structured_outputs": {"regex": "a+"}}, "regex", "a+"),
        ({"structured_outputs": {"choice": ["a", "b"]}}, "choice", ["a", "b"]),
        ({"structured_outputs": {"grammar": 'start: "a"'}}, "grammar", 'start: "a"'),
        ({"guided_json": SCHEMA}, "json", SCHEMA),
        ({"guided_regex": "a+"}, "regex", "a+"),
        ({"guided_choice": ["a"]}, "choice", ["a"]),
        ({"guided_grammar": 'start: "a"'}, "grammar", 'start: "a"'),
        ({"response_format": {"type": "text"}}, None, None),
    ],
    ids=str,
)
def test_what_an_answer_must_be_reaches_the_engine_from_both_routes(serving, field, kind, expected):
    async def test():
        async with serving() as server, server.client() as client:
            await client.chat.completions.create(model="base", messages=HELLO, extra_body=field)
            await client.completions.create(model="base", prompt="x", extra_body=field)
            return server.engines.requests

    for request in run(test):
        found = request.sampling.grammar
        if kind is None:
            assert found is None
        else:
            text = expected if kind in ("regex", "grammar") else json.dumps(expected)
            assert found == Grammar(kind=kind, text=text)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"tool_choice": "required"}, "'tools' is empty"),
        ({"tools": [OTHER], "tool_choice": NAMED}, "names 'weather'; the tools are time"),
        ({"tools": [OTHER, OTHER]}, "'time' more than once"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [OTHER], "tool_choice": "required", "response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "'json_schema' belongs to"),
        ({"response_format": {"type": "json_object"}, "guided_regex": "a"}, "response_format, guided_regex are given"),
        ({"guided_json": "{"}, "not valid JSON"),
        ({"guided_json": "[]"}, "a JSON schema is an object"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        ({"structured_outputs": {"structural_tag": "x"}}, "unknown field 'structured_outputs.structural_tag'"),
        ({"messages": [{"role": "user"}]}, "'content' is missing"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": "x",
                        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
                    }
                ]
            },
            "only the assistant calls tools",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "[1]"}}]}
                ]
            },
            "arguments of a call are a JSON object",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused_with_the_reason(serving, asked, words):
    async def test():
        async with serving() as server, server.client() as client:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.chat.completions.create(model="base", **({"messages": HELLO} | {"extra_body": asked}))
            assert not server.engines.requests
        return caught.value.message

    assert words in run(test)
