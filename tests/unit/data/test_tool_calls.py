"""Calls are found in what models write, however it is cut into pieces; and nothing else is taken for one."""

import json
from random import Random

import pytest

from fettle.data.tool_calls import CallFinder
from fettle.data.tool_forms import FORMS, TAGGED, form_of, in_plain_words
from fettle.types.generation import Message, Tool, ToolCall

WEATHER = '{"name": "weather", "arguments": {"city": "Oslo </tool_call> {"}}'
ADD = '{"name": "add", "arguments": {"a": [1, {"b": "\\u00e9"}]}}'
NAMES = ("weather", "add")


def tagged(call):
    return f"<tool_call>\n{call}\n</tool_call>"


def cut(text, seed):
    """The text in pieces of 1 to 6 characters; with seed 0 in one."""
    random = Random(seed)
    while text:
        size = random.randint(1, 6) if seed else len(text)
        yield text[:size]
        text = text[size:]


def found(text, seed=0, **settings):
    finder = CallFinder(NAMES, **settings)
    said = [finder.add(piece) for piece in cut(text, seed)] + [finder.rest()]
    calls = [call for _, some in said for call in some]
    assert len({call.id for call in calls}) == len(calls)
    return "".join(part for part, _ in said), [(call.name, json.loads(call.arguments)) for call in calls]


OSLO = ("weather", {"city": "Oslo </tool_call> {"})
SUM = ("add", {"a": [1, {"b": "é"}]})
ANSWERS = {
    tagged(WEATHER): ("", [OSLO]),
    f"\n\n{tagged(WEATHER)}\n{tagged(ADD)}\n": ("", [OSLO, SUM]),
    f"Let me see. {tagged(ADD)}": ("Let me see. ", [SUM]),
    f"{tagged(ADD)}\nDone, I  think.": ("\nDone, I  think.", [SUM]),
    f"<tool_call>{ADD}": ("", [SUM]),
    WEATHER: ("", [OSLO]),
    f" [{WEATHER}, {ADD}]\n": ("", [OSLO, SUM]),
    ADD.replace("arguments", "parameters"): ("", [SUM]),
}
TEXTS = [
    "",
    "  ",
    "Only text: a < b, <tool",
    '{"answer": 4}',
    "[1, 2",
    '{"name": "other", "arguments": {}}',
    '[{"name": "add", "arguments": {}}, 3]',
    tagged('{"name": "other", "arguments": {}}'),
    tagged("{broken"),
    tagged('{"name": ["add"], "arguments": {}}'),
    '<tool_call>{"name": "add", "arguments": {"a": ',
    f"The mark <tool_call> is none, {ADD}",
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("text", ANSWERS)
def test_calls_are_found_in_every_form_and_text_stays_text(text, seed):
    said, calls = found(text, seed)
    assert calls == ANSWERS[text][1]
    # A blank that comes alone behind a call is dropped, one that comes with text is not.
    assert said.lstrip() == ANSWERS[text][0].lstrip()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_call_of_a_known_tool_stays_text(text, seed):
    assert found(text, seed) == (text, [])


def test_a_call_behind_a_broken_one_is_found():
    said, calls = found(f"{tagged('{broken')} {tagged(ADD)}", seed=3)
    assert (said.strip(), calls) == (tagged("{broken"), [SUM])


def test_no_more_calls_than_asked_for_are_taken():
    assert found(tagged(ADD) + tagged(WEATHER), most=1)[1] == [SUM]
    assert found(f"[{ADD}, {WEATHER}]", most=1)[1] == [SUM]


def test_a_call_is_told_when_it_is_complete_and_text_at_once():
    finder = CallFinder(NAMES)
    assert finder.add("I look") == ("I look", [])
    assert finder.add(" it up <tool") == (" it up ", [])
    text, (call,) = finder.add(f"_call>{ADD}</tool_call>")
    assert (text, call.name) == ("", "add")


def test_the_form_of_calls_is_the_one_that_the_chat_template_teaches():
    llama = """{{ '{"name": function name, "parameters": dictionary of argument name and its value}' }}"""
    assert form_of("{{ '<tool_call>' }} \"parameters\"") == TAGGED
    assert form_of("[TOOL_CALLS]") == FORMS[1]
    assert form_of(llama).arguments == "parameters"
    assert form_of("{% for tool in tools %}{% endfor %}") == TAGGED


def test_a_conversation_with_tools_can_be_told_in_plain_words():
    tools = [Tool(name="add", description="Adds {a} and b.", parameters='{"type": "object"}')]
    calls = (ToolCall(id="1", name="add", arguments='{"a": 1}'), ToolCall(id="2", name="add", arguments='{"a": 2}'))
    messages = [
        Message(role="user", content="add"),
        Message(role="assistant", content="Yes.", tool_calls=calls),
        Message(role="tool", content="1", tool_call_id="1"),
        Message(role="tool", content="2", tool_call_id="2"),
    ]

    system, user, assistant, answers = in_plain_words(messages, tools)

    assert system.role == "system"
    assert '{"name": "add", "description": "Adds {a} and b.", "parameters": {"type": "object"}}' in system.content
    assert '{"name": "...", "arguments": {...}}' in system.content
    assert user == messages[0]
    assert found(assistant.content) == ("Yes.\n", [("add", {"a": 1}), ("add", {"a": 2})])
    told = "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>"
    assert (answers.role, answers.content) == ("user", told)
    brief = Message(role="system", content="Be brief.")
    assert in_plain_words([brief, *messages], tools)[0].content == f"Be brief.\n\n{system.content}"
    assert in_plain_words([brief, messages[0]], []) == [brief, messages[0]]
