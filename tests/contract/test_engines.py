"""What every `platform.engines` keeps to: the real ones, and the scripted ones that tests put in their place."""

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest

from fettle.errors import NotFound
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.testing.installation import BASE, tiny_installation
from fettle.testing.scripted import ScriptedPlatform
from fettle.types.generation import GenerateRequest, Message, SamplingParams

HELLO = (Message(role="user", content="hello there"),)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tiny_installation(tmp_path_factory.mktemp("engines") / "home")


@asynccontextmanager
async def scripted(_):
    yield ScriptedPlatform(["a", "b", "c", "d"]), "base", "tickets"


@asynccontextmanager
async def real(home):
    with Platform(Settings(home=home, threads=1, dtype="float32")) as platform:
        yield platform, BASE, "red"


@pytest.fixture(params=[scripted, real], ids=["scripted", "real"])
def opened(request, home):
    return lambda: request.param(home)


def asked(model, max_tokens=3, num_choices=1, **sampling):
    params = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True, **sampling)
    return GenerateRequest(model=model, messages=HELLO, sampling=params, num_choices=num_choices)


async def chunks_of(engines, request):
    async with aclosing(engines.generate(request)) as chunks:
        return [chunk async for chunk in chunks]


def test_engines_answer_end_and_refuse_in_the_same_way(opened):
    async def test():
        async with opened() as (platform, base, custom):
            engines = platform.engines
            await engines.start([base])
            try:
                await _answers_are_told_in_steps(engines, base, custom)
                await _logprobs_come_when_asked(engines, base)
                await _a_closed_answer_leaves_nothing_behind(engines, base)
                await _an_unknown_model_is_not_found(engines)
                assert engines.states() == {base: "ready"}
            finally:
                await engines.stop()
            assert engines.states() == {}

    asyncio.run(test())


async def _answers_are_told_in_steps(engines, base, custom):
    for model in (base, custom):
        chunks = await chunks_of(engines, asked(model, num_choices=2))
        for index in (0, 1):
            mine = [chunk for chunk in chunks if chunk.index == index]
            assert [chunk.finish_reason for chunk in mine[:-1]] == [None] * (len(mine) - 1)
            assert mine[-1].finish_reason == "length"
            made = [sum(len(chunk.token_ids) for chunk in mine[: place + 1]) for place in range(len(mine))]
            assert [chunk.completion_tokens for chunk in mine] == made
            assert mine[-1].completion_tokens == 3
            assert {chunk.prompt_tokens for chunk in mine} == {mine[0].prompt_tokens}
            assert mine[0].prompt_tokens > 0


async def _logprobs_come_when_asked(engines, base):
    silent = await chunks_of(engines, asked(base))
    told = await chunks_of(engines, asked(base, logprobs=2, prompt_logprobs=True))
    assert not any(chunk.logprobs or chunk.prompt_logprobs for chunk in silent)
    logprobs = [one for chunk in told for one in chunk.logprobs]
    assert [one.token_id for one in logprobs] == [token for chunk in told for token in chunk.token_ids]
    assert all(len(one.top) == 2 for one in logprobs)
    assert sum(len(chunk.prompt_logprobs) for chunk in told) == told[0].prompt_tokens


async def _a_closed_answer_leaves_nothing_behind(engines, base):
    async with aclosing(engines.generate(asked(base, max_tokens=200))) as chunks:
        await anext(chunks)
    async with asyncio.timeout(60):
        while any(stats["running"] or stats["waiting"] for stats in (await engines.stats()).values()):
            await asyncio.sleep(0.01)


async def _an_unknown_model_is_not_found(engines):
    with pytest.raises(NotFound) as found:
        engines.find("nobody")
    with pytest.raises(NotFound) as asked_for:
        await chunks_of(engines, asked("nobody"))
    assert found.value.param == asked_for.value.param == "model"
