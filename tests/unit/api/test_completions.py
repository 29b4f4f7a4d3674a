import asyncio

import openai
import pytest


def run(test):
    return asyncio.run(test())


def test_every_prompt_gets_its_choices_in_order(serving):
    async def test():
        async with serving() as server, server.client() as client:
            answer = await client.completions.create(model="base", prompt=["one", "two words"], n=2, max_tokens=2)
        assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
        assert {choice.text for choice in answer.choices} == {"Hello wide"}
        assert {choice.finish_reason for choice in answer.choices} == {"length"}
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 8)
        assert (answer.object, answer.id[:5]) == ("text_completion", "cmpl-")

    run(test)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a text", [("a text", None)]),
        (["a", "b"], [("a", None), ("b", None)]),
        ([1, 2], [(None, (1, 2))]),
        ([[1, 2], [3]], [(None, (1, 2)), (None, (3,))]),
    ],
)
def test_prompts_come_as_texts_or_token_ids(serving, prompt, expected):
    async def test():
        async with serving() as server, server.client() as client:
            await client.completions.create(model="base", prompt=prompt)
            assert [(request.text, request.token_ids) for request in server.engines.requests] == expected
            assert {request.sampling.max_tokens for request in server.engines.requests} == {16}

    run(test)


def test_a_streamed_completion_says_the_same_as_a_whole_one(serving):
    async def test():
        async with serving() as server, server.client() as client:
            asked = {"model": "base", "prompt": ["x", "y"], "echo": True, "logprobs": 1}
            whole = await client.completions.create(**asked)
            stream = await client.completions.create(**asked, stream=True, stream_options={"include_usage": True})
            *parts, last = [chunk async for chunk in stream]
        for choice in whole.choices:
            mine = [part.choices[0] for part in parts if part.choices[0].index == choice.index]
            assert "".join(part.text for part in mine) == choice.text
            assert mine[-1].finish_reason == choice.finish_reason == "stop"
            for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
                streamed = [item for part in mine for item in getattr(part.logprobs, name)]
                assert streamed == getattr(choice.logprobs, name)
        assert last.usage == whole.usage

    run(test)


def test_offsets_say_where_each_token_stands_in_the_text(serving):
    async def test():
        async with serving() as server, server.client() as client:
            answer = await client.completions.create(model="base", prompt="x", logprobs=2)
        (choice,) = answer.choices
        for token, offset in zip(choice.logprobs.tokens, choice.logprobs.text_offset, strict=True):
            assert choice.text[offset : offset + len(token)] == token
        assert [len(top) for top in choice.logprobs.top_logprobs] == [2, 2, 2]

    run(test)


def test_a_prompt_can_be_scored_without_making_anything(serving):
    async def test():
        async with serving() as server, server.client() as client:
            answer = await client.completions.create(model="base", prompt="a b", echo=True, max_tokens=0, logprobs=0)
        (choice,) = answer.choices
        assert (choice.text, choice.logprobs.tokens) == ("a b", ["a", "b"])
        assert answer.usage.completion_tokens == 0

    run(test)


def test_token_ids_are_echoed_as_their_text(serving):
    async def test():
        async with serving() as server, server.client() as client:
            answer = await client.completions.create(model="base", prompt=[5, 6], echo=True, max_tokens=1)
        assert answer.choices[0].text == "t5t6Hello"
        assert answer.choices[0].logprobs is None

    run(test)


@pytest.mark.parametrize(
    "field",
    [
        {"best_of": 3},
        {"suffix": "end"},
        {"logprobs": 21},
        {"max_tokens": 0},
        {"prompt": []},
        {"prompt": {"text": "x"}},
        {"prompt": [1, "x"]},
        {"prompt": ["x"] * 200, "n": 2},
    ],
    ids=lambda field: "-".join(field),
)
def test_what_cannot_be_honoured_is_refused_by_name(serving, field):
    async def test():
        async with serving() as server, server.client() as client:
            with pytest.raises(openai.BadRequestError, match=next(iter(field))):
                await client.completions.create(**{"model": "base", "prompt": "x", **field})
            assert not server.engines.requests

    run(test)


def test_one_failing_prompt_fails_the_request_and_ends_the_others(serving, until):
    async def test():
        async with serving() as server, server.client() as client:
            server.engines.failures["base"], server.engines.fails_after = ValueError("bug"), 1
            with pytest.raises(openai.InternalServerError):
                await client.completions.create(model="base", prompt=["a", "b", "c"])
            await until(lambda: not server.engines.running)

    run(test)
