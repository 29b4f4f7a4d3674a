import asyncio
import json

import httpx2 as httpx
import openai
import pytest

from fettle.errors import Unavailable

HELLO = [{"role": "user", "content": "Say it"}]
KEY_HEADER = {"authorization": "Bearer fettle-test"}


def run(test):
    return asyncio.run(test())


def test_a_chat_is_answered_with_text_usage_and_finish_reason(serving):
    async def test():
        async with serving() as server, server.client() as client:
            answer = await client.chat.completions.create(model="base", messages=HELLO)
        (choice,) = answer.choices
        assert (choice.message.role, choice.message.content) == ("assistant", "Hello wide world")
        assert choice.finish_reason == "stop"
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 3, 5)
        assert (answer.object, answer.model) == ("chat.completion", "base")
        assert answer.id.startswith("chatcmpl-")
        assert answer._request_id

    run(test)


def test_a_streamed_chat_says_the_same_as_a_whole_one(serving):
    async def test():
        async with serving() as server, server.client() as client:
            stream = await client.chat.completions.create(
                model="base", messages=HELLO, stream=True, n=2, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
        *parts, last = chunks
        for index in (0, 1):
            mine = [part.choices[0] for part in parts if part.choices[0].index == index]
            assert mine[0].delta.role == "assistant"
            assert "".join(choice.delta.content or "" for choice in mine) == "Hello wide world"
            assert [choice.finish_reason for choice in mine if choice.finish_reason] == ["stop"]
        assert last.choices == []
        assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (2, 6)
        assert all(part.usage is None for part in parts)
        assert len({chunk.id for chunk in chunks}) == 1

    run(test)


def test_a_stream_ends_with_the_done_mark_and_tells_no_usage_unasked(serving):
    async def test():
        async with serving() as server, httpx.AsyncClient(headers=KEY_HEADER) as client:
            body = {"model": "base", "messages": HELLO, "stream": True}
            answer = await client.post(f"{server.url}/v1/chat/completions", json=body)
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = answer.text.split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        parsed = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
        assert all("usage" not in event for event in parsed)

    run(test)


def test_logprobs_come_with_bytes_and_alternatives(serving):
    async def test():
        async with serving() as server, server.client() as client:
            asked = {"model": "base", "messages": HELLO, "logprobs": True, "top_logprobs": 2}
            whole = await client.chat.completions.create(**asked)
            stream = await client.chat.completions.create(**asked, stream=True)
            streamed = [
                one async for chunk in stream if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content
            ]
        content = whole.choices[0].logprobs.content
        assert [one.token for one in content] == ["Hello", " wide", " world"]
        assert bytes(content[1].bytes) == b" wide"
        assert [len(one.top_logprobs) for one in content] == [2, 2, 2]
        assert streamed == content

    run(test)


def test_the_engine_is_asked_for_what_the_client_said(serving):
    async def test():
        async with serving() as server, server.client() as client:
            await client.chat.completions.create(
                model="tickets",
                messages=[
                    {"role": "developer", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                ],
                max_completion_tokens=2,
                temperature=0,
                top_p=0.5,
                stop="x",
                seed=3,
                presence_penalty=1,
                logit_bias={"7": -100},
                user="someone",
                metadata={"a": "b"},
                store=True,
                response_format={"type": "text"},
                tools=[],
                extra_body={"top_k": 5, "min_p": 0.1, "ignore_eos": True, "stop_token_ids": [2], "min_tokens": 1},
            )
            (request,) = server.engines.requests
        sampling = request.sampling
        assert [(m.role, m.content) for m in request.messages] == [("system", "Be brief."), ("user", "ab")]
        assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (2, 0, 0.5)
        assert (sampling.stop, sampling.seed, sampling.presence_penalty) == (("x",), 3, 1)
        assert (sampling.logit_bias, sampling.top_k, sampling.min_p) == ({7: -100}, 5, 0.1)
        assert (sampling.ignore_eos, sampling.stop_token_ids, sampling.min_tokens) == (True, (2,), 1)

    run(test)


@pytest.mark.parametrize(
    "field",
    [
        {"tools": [{"type": "function", "function": {"name": "f g"}}]},
        {"functions": [{"name": "f"}]},
        {"response_format": {"type": "yaml"}},
        {"audio": {"voice": "alloy", "format": "mp3"}},
        {"modalities": ["text", "audio"]},
        {"reasoning_effort": "high"},
        {"tool_choice": "required"},
        {"temperature": 3},
        {"temperature": "warm"},
        {"n": 0},
        {"max_tokens": 0},
        {"top_logprobs": 3},
        {"stop": ["a"] * 17},
        {"logit_bias": {"x": 1}},
        {"messages": []},
        {"messages": [{"role": "wizard", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"stream_options": {"include_usage": True}},
        {"made_up": 1},
    ],
    ids=lambda field: next(iter(field)),
)
def test_what_cannot_be_honoured_is_refused_by_name(serving, field):
    async def test():
        async with serving() as server, httpx.AsyncClient(headers=KEY_HEADER) as client:
            body = {"model": "base", "messages": HELLO, **field}
            answer = await client.post(f"{server.url}/v1/chat/completions", json=body)
            assert not server.engines.requests
        error = answer.json()["error"]
        assert answer.status_code == 400
        assert next(iter(field)) in error["message"]
        assert error["type"] == "invalid_request_error"

    run(test)


def test_all_faults_are_told_at_once(serving):
    async def test():
        async with serving() as server, server.client() as client:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.chat.completions.create(model="base", messages=[], temperature=9, n=0)
        assert all(name in caught.value.message for name in ("messages", "temperature", "n"))

    run(test)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"model": "\\ud800"}', b"[" * 100_000])
def test_a_body_that_is_no_request_is_a_400(serving, body):
    async def test():
        async with serving() as server, httpx.AsyncClient(headers=KEY_HEADER) as client:
            answer = await client.post(f"{server.url}/v1/chat/completions", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]

    run(test)


def test_an_unknown_model_is_a_404_with_the_nearest_name(serving):
    async def test():
        async with serving() as server, server.client() as client:
            for stream in (False, True):
                with pytest.raises(openai.NotFoundError, match="'tickets'") as caught:
                    await client.chat.completions.create(model="ticket", messages=HELLO, stream=stream)
                assert (caught.value.code, caught.value.param) == ("model_not_found", "model")

    run(test)


def test_an_error_before_the_first_token_of_a_stream_has_its_status(serving):
    async def test():
        async with serving() as server, server.client() as client:
            server.engines.failures["base"] = Unavailable("the engine has ended")
            with pytest.raises(openai.InternalServerError, match="has ended") as caught:
                await client.chat.completions.create(model="base", messages=HELLO, stream=True)
        assert caught.value.status_code == 503
        assert caught.value.response.headers["x-should-retry"] == "true"

    run(test)


def test_an_error_inside_a_stream_is_an_error_event(serving):
    async def test():
        async with serving() as server, server.client() as client:
            server.engines.failures["base"], server.engines.fails_after = Unavailable("the engine has ended"), 2
            texts = []
            stream = await client.chat.completions.create(model="base", messages=HELLO, stream=True)
            with pytest.raises(openai.APIError, match="has ended"):  # noqa: PT012 - it comes at some turn of the loop
                async for chunk in stream:
                    texts.append(chunk.choices[0].delta.content)
        assert "".join(texts) == "Hello wide"

    run(test)


@pytest.mark.parametrize("stream", [False, True])
def test_a_bug_is_a_500_that_tells_nothing_of_the_inside(serving, stream):
    async def test():
        async with serving() as server, server.client() as client:
            server.engines.failures["base"] = ZeroDivisionError("secret detail")
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(model="base", messages=HELLO, stream=stream)
            alive = await client.chat.completions.create(model="tickets", messages=HELLO)
        assert caught.value.status_code == 500
        assert "secret" not in caught.value.response.text
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert caught.value.response.headers["x-request-id"]
        assert alive.choices

    run(test)


def test_a_client_that_hangs_up_in_a_stream_cancels_its_request(serving, until):
    async def test():
        async with serving() as server, server.client() as client:
            server.engines.hold_after = 1
            stream = await client.chat.completions.create(model="base", messages=HELLO, stream=True)
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
            assert len(server.engines.running) == 1
            await stream.close()
            await until(lambda: server.engines.cancelled)
            assert server.engines.running == []

    run(test)


def test_a_client_that_hangs_up_before_the_answer_cancels_its_request(serving, until):
    async def test():
        async with serving() as server, server.client() as client:
            server.engines.hold_after = 0
            for stream in (False, True):
                asked = asyncio.create_task(
                    client.chat.completions.create(model="base", messages=HELLO, stream=stream, n=2)
                )
                await until(lambda: server.engines.running)
                asked.cancel()
                await until(lambda: not server.engines.running)
            assert len(server.engines.cancelled) == 2

    run(test)
