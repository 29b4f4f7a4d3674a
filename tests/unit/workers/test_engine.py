import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest

from fettle.errors import FettleError, InvalidInput, StorageFailed, Unavailable
from fettle.testing.counting import CountingEngine, PlainPrompts
from fettle.types.generation import GenerateRequest, SamplingParams
from fettle.workers.engine import EngineWorker
from tests.unit.workers.link import serving


def run(test):
    return asyncio.run(test())


class Running:
    """A worker's loop in a thread of its own, and a client of it."""

    def __init__(self, worker, engine, client):
        self.worker, self.engine, self.client = worker, engine, client


@asynccontextmanager
async def running():
    engine, made = CountingEngine(), []

    def make(link):
        made.append(EngineWorker(engine, PlainPrompts(), link))
        return made[0]

    async with serving(make) as client:
        yield Running(made[0], engine, client)


def asked(text="a", max_tokens=3, **other):
    return GenerateRequest(model="m", text=text, sampling=SamplingParams(max_tokens=max_tokens), **other)


async def answer(client, request, adapter=None):
    chunks = [chunk async for chunk in client.generate(request, adapter)]
    return ["".join(c.text for c in chunks if c.index == index) for index in range(request.num_choices)]


async def until(condition):
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.005)


def test_concurrent_requests_get_their_own_answers(tmp_path):
    async def test():
        async with running() as r:
            await r.client.add_adapter("x", tmp_path)
            answers = await asyncio.gather(
                answer(r.client, asked("a")),
                answer(r.client, asked("b", max_tokens=1, num_choices=2)),
                answer(r.client, asked("a"), "x"),
            )
        assert answers == [[" 98 99 100"], [" 99", " 99"], ["x 98x 99x 100"]]

    run(test)


def test_a_bad_request_is_refused_and_the_others_go_on():
    async def test():
        async with running() as r:
            good = asyncio.create_task(answer(r.client, asked(max_tokens=1000)))
            with pytest.raises(InvalidInput, match="'none'"):
                await answer(r.client, asked(), "none")
            with pytest.raises(FettleError, match="no folder"):
                await r.client.add_adapter("y", "/does/not/exist")
            assert len((await good)[0].split()) == 1000

    run(test)


def test_a_bug_in_a_step_fails_what_runs_and_the_next_request_is_answered():
    async def test():
        async with running() as r:
            r.engine.fails = ZeroDivisionError("inside")
            with pytest.raises(FettleError, match="bug") as caught:
                await answer(r.client, asked())
            assert await answer(r.client, asked()) == [" 98 99 100"]
            assert not r.engine.has_work
        assert "inside" not in str(caught.value)

    run(test)


def test_a_bug_in_a_request_is_told_without_its_inside():
    async def test():
        async with running() as r:
            with pytest.raises(FettleError, match="bug"):
                await r.client.remove_adapter("never loaded")
            assert await answer(r.client, asked()) == [" 98 99 100"]

    run(test)


def test_a_choice_that_fails_ends_the_others_of_its_request():
    async def test():
        async with running() as r:
            r.engine.failing_index = 1
            with pytest.raises(StorageFailed, match="this choice"):
                await answer(r.client, asked(max_tokens=None, num_choices=3))

            async def idle():
                return (await r.client.stats())["running"] == 0

            await until(idle)

    run(test)


def test_a_closed_iterator_stops_the_work():
    async def test():
        async with running() as r:
            async with aclosing(r.client.generate(asked(max_tokens=None))) as chunks:
                await anext(chunks)
                assert (await r.client.stats())["running"] == 1

            async def idle():
                return (await r.client.stats())["running"] == 0

            await until(idle)

    run(test)


def test_an_ending_worker_finishes_what_runs_and_takes_nothing_new():
    async def test():
        async with running() as r, aclosing(r.client.generate(asked(max_tokens=2000))) as chunks:
            first = await anext(chunks)
            r.worker.end()
            with pytest.raises(Unavailable):
                await answer(r.client, asked())
            rest = [chunk async for chunk in chunks]
        assert first.completion_tokens + sum(len(chunk.token_ids) for chunk in rest) == 2000
        assert rest[-1].finish_reason == "length"

    run(test)
