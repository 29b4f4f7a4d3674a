"""A whole load test, against a server that is a function."""

import asyncio
import json
from collections import Counter
from contextlib import suppress

import httpx
import pytest

from fettle.errors import Unavailable
from fettle.loadtest.run import WARMUP, run_load_test
from fettle.loadtest.spec import LoadSpec

SSE = {"content-type": "text/event-stream"}
EVENTS = (
    b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
    b'data: {"choices": [{"delta": {"content": "b"}, "finish_reason": "stop"}]}\n\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}\n\n'
    b"data: [DONE]\n\n"
)


class Asked:
    """A server that notes what it is asked; what is in `refused` it does not know."""

    def __init__(self, refused=()):
        self.refused, self.bodies = refused, []

    def __call__(self, request):
        body = json.loads(request.content)
        self.bodies.append(body)
        if body["model"] in self.refused:
            return httpx.Response(404, json={"error": {"message": f"unknown model '{body['model']}'"}})
        return httpx.Response(200, headers=SSE, content=EVENTS)


def run(server, watch=lambda _: None, **values):
    spec = LoadSpec.checked({"url": "http://test/v1", "models": ["a", "b", "c"], "prompt_length": "fixed:4", **values})
    return asyncio.run(run_load_test(spec, watch=watch, transport=httpx.MockTransport(server)))


def test_each_load_asks_as_many_requests_and_all_are_counted():
    asked, watched = Asked(), []
    report = run(asked, watched.append, concurrency="1,4", rate="2000", requests=30)
    assert [result.all.num_answered for result in report.results] == [30, 30, 30]
    assert [result.all.output_tokens for result in report.results] == [60, 60, 60]
    assert len(asked.bodies) == 3 + 90
    assert Counter(watched) == {WARMUP: 3, "1 client": 30, "4 clients": 30, "2000 per second": 30}
    assert all(result.seconds > 0 for result in report.results)


def test_the_warm_up_asks_every_model_and_is_not_in_the_results():
    asked = Asked()
    report = run(asked, concurrency="1", requests=1)
    assert {body["model"] for body in asked.bodies[:3]} == {"a", "b", "c"}
    assert report.results[0].all.num_requests == 1
    cold = Asked()
    run(cold, concurrency="1", requests=1, warmup=0)
    assert len(cold.bodies) == 1


def test_no_prompt_is_asked_twice():
    asked = Asked()
    run(asked, concurrency="2,3", requests=40, prompt_length="fixed:12")
    said = Counter(body["messages"][0]["content"] for body in asked.bodies)
    assert set(said.values()) == {1}


def test_a_model_that_fails_stands_beside_those_that_do_not():
    report = run(Asked(refused={"b"}), concurrency="4", requests=60)
    models = report.results[0].models
    assert models["a"].num_answered == models["a"].num_requests > 0
    assert models["b"].num_answered == 0
    assert models["b"].failures[0].kind == "http_404"
    assert report.has_answers


def test_a_server_that_answers_nobody_is_told_before_anything_is_measured():
    asked = Asked(refused={"a", "b", "c"})
    with pytest.raises(Unavailable, match="unknown model 'b'"):
        run(asked, concurrency="4", requests=60)
    assert len(asked.bodies) == 3


async def keeping_connections(opened):
    """A server that answers every request on the connections that it is given, and notes them."""

    async def answer(reader, writer):
        opened.append(writer)
        while head := (await reader.readuntil(b"\r\n\r\n")).lower():
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(EVENTS), EVENTS))

    async def until_closed(reader, writer):
        with suppress(asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()

    return await asyncio.start_server(until_closed, "127.0.0.1", 0)


def test_every_client_keeps_its_connection():
    async def test():
        opened = []
        async with await keeping_connections(opened) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            spec = LoadSpec(url=url, models=("a",), concurrency=(3,), requests=30)
            report = await run_load_test(spec)
            assert report.results[0].all.num_answered == 30
            await asyncio.gather(*(writer.wait_closed() for writer in opened))
        return len(opened)

    assert asyncio.run(test()) == 3
