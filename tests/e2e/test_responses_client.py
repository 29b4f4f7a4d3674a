"""Responses and tokens: the official client against `fettle up` on a tiny random model, which is started twice."""

import json
from typing import Literal

import pytest
from pydantic import BaseModel

from fettle.testing.installation import tiny_installation
from tests.e2e.server import BASE, serving

pytestmark = pytest.mark.e2e
PLACE = {
    "type": "object",
    "properties": {"kind": {"type": "string", "enum": ["town", "river"]}},
    "required": ["kind"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "find_place", "description": "Finds it.", "parameters": PLACE, "strict": True}
TURNS = [{"role": "user", "content": "the rain in the north"}]


class Place(BaseModel):
    kind: Literal["town", "river"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # In bfloat16 a prompt that is partly cached may have other last bits, and likeliest tokens are nearly equal.
        patch.setenv("FETTLE_DTYPE", "float32")
        yield tiny_installation(tmp_path_factory.mktemp("e2e") / "home", context=4096)


@pytest.fixture(scope="module")
def client(home):
    with serving(home) as (_, client):
        yield client


def counted(client, **fields):
    """What /tokenize says of a prompt."""
    return client.post("../tokenize", cast_to=object, body={"model": BASE, **fields})


def test_a_conversation_goes_on_behind_an_answer_that_an_earlier_server_gave(home):
    asked = {"model": "red", "temperature": 0, "max_output_tokens": 24}
    with serving(home) as (_, client):
        first = client.responses.create(input="the rain in the north", **asked)
        with client.responses.stream(input="the rain in the north", store=False, **asked) as stream:
            streamed = list(stream)[-1].response
        chat = client.chat.completions.create(model="red", messages=TURNS, temperature=0, max_completion_tokens=24)
        counted = client.responses.input_tokens.count(model="red", input="the rain in the north")
    assert first.output_text == streamed.output_text == chat.choices[0].message.content
    assert first.usage.output_tokens == chat.usage.completion_tokens
    assert counted.input_tokens == first.usage.input_tokens
    with serving(home) as (_, client):
        assert client.responses.retrieve(first.id).to_dict() == first.to_dict()
        behind = client.responses.create(input="and the other?", previous_response_id=first.id, **asked)
        turns = [*TURNS, chat.choices[0].message, {"role": "user", "content": "and the other?"}]
        whole = client.chat.completions.create(model="red", messages=turns, temperature=0, max_completion_tokens=24)
        assert behind.usage.input_tokens == whole.usage.prompt_tokens
        assert behind.output_text == whole.choices[0].message.content


def test_an_answer_is_parsed_and_calls_a_tool_with_fitting_arguments(client):
    parsed = client.responses.parse(model=BASE, input="north", text_format=Place, max_output_tokens=400)
    asked = {"model": BASE, "input": "north", "tools": [TOOL], "tool_choice": "required"}
    with client.responses.stream(**asked, parallel_tool_calls=False, max_output_tokens=400) as stream:
        (call,) = stream.get_final_response().output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "far away"}
    answer = client.responses.create(
        model=BASE, input=[*TURNS, call, output], tools=[TOOL], tool_choice="none", max_output_tokens=4
    )
    assert parsed.output_parsed.kind in ("town", "river")
    assert call.parsed_arguments == json.loads(call.arguments)
    assert Place(**call.parsed_arguments)
    assert answer.usage.output_tokens


def test_the_tokens_that_are_told_of_a_prompt_are_those_of_its_answer(client):
    chat = client.chat.completions.create(model=BASE, messages=TURNS, max_completion_tokens=1)
    text = client.completions.create(model=BASE, prompt="the rain", max_tokens=1)
    of_chat, of_text = counted(client, messages=TURNS), counted(client, prompt="the rain")
    again = client.post("../detokenize", cast_to=object, body={"model": BASE, "tokens": of_text["tokens"]})
    assert of_chat["count"] == len(of_chat["tokens"]) == chat.usage.prompt_tokens
    assert of_text["count"] == text.usage.prompt_tokens
    assert again == {"prompt": "the rain"}
    assert of_chat["max_model_len"] == 4096
