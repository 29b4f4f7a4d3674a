import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fettle.clusters.processes import ProcessId
from fettle.errors import NotFound, Unavailable, UnsupportedModel
from fettle.services.engines import engine_options
from fettle.services.platform import Platform
from fettle.settings import Settings
from fettle.types.engine import EngineOptions
from fettle.types.generation import GenerateRequest
from tests.unit.services.conftest import Create

pytestmark = pytest.mark.anyio


@pytest.fixture
async def serving(platform: Platform) -> AsyncIterator[Platform]:
    yield platform
    await platform.engines.stop()


async def answer(platform: Platform, model: str, text: str) -> str:
    request = GenerateRequest(model=model, text=text)
    return " ".join([chunk.text async for chunk in platform.engines.generate(request)])


async def pid_of(platform: Platform, engine: str) -> int:
    return int((await platform.engines.stats())[engine]["pid"])


async def until_ready(platform: Platform, engine: str, other_than: int) -> int:
    """The pid of the engine's next process."""
    async with asyncio.timeout(30):
        while True:
            stats = await platform.engines.stats()
            if engine in stats and stats[engine]["pid"] != other_than:
                return int(stats[engine]["pid"])
            await asyncio.sleep(0.01)


async def test_the_base_and_its_custom_models_are_answered_by_one_process(serving: Platform, create: Create) -> None:
    model = serving.tuning_jobs.run(create().id)
    answers = await asyncio.gather(
        *(answer(serving, name, "adapter?") for name in ("small", "tickets", "tickets:1", "small"))
    )
    assert answers == ["none", model.id, model.id, "none"]
    assert serving.engines.states() == {"small": "ready"}
    assert (await serving.engines.stats())["small"]["adapters"] == 1


async def test_a_fully_tuned_model_has_an_engine_of_its_own(serving: Platform, create: Create) -> None:
    serving.tuning_jobs.run(create(name="whole", method="full").id)
    assert await answer(serving, "whole", "adapter?") == "none"
    assert set(serving.engines.states()) == {"whole:1"}


async def test_a_new_version_is_answered_at_once_and_a_deleted_one_no_more(serving: Platform, create: Create) -> None:
    first = serving.tuning_jobs.run(create().id)
    assert await answer(serving, "tickets", "adapter?") == first.id
    second = serving.tuning_jobs.run(create().id)
    assert await answer(serving, "tickets", "adapter?") == second.id
    serving.custom_models.delete("tickets:2")
    assert await answer(serving, "tickets", "adapter?") == first.id
    with pytest.raises(NotFound):
        await answer(serving, "tickets:2", "x")


async def test_an_unknown_model_is_told_with_the_nearest_name(serving: Platform, create: Create) -> None:
    serving.tuning_jobs.run(create().id)
    for name, near in (("ticket", "tickets"), ("smal", "small"), ("tickets:9", "tickets:1")):
        with pytest.raises(NotFound, match=f"(?s){name}.*{near}"):
            await answer(serving, name, "x")
    assert serving.engines.states() == {}, "nothing was started for it"


async def test_engines_asked_for_at_the_start_are_loaded(serving: Platform) -> None:
    await serving.engines.start(["small"])
    assert set(serving.engines.states()) == {"small"}
    assert await answer(serving, "small", "a b") == "a b"
    with pytest.raises(NotFound):
        await serving.engines.start(["absent"])


async def test_an_engine_that_dies_tells_who_waits_and_is_started_again(serving: Platform) -> None:
    await answer(serving, "small", "wake up")
    first = await pid_of(serving, "small")
    with pytest.raises(Unavailable, match="last words"):
        await answer(serving, "small", "die")
    assert await until_ready(serving, "small", other_than=first) != first
    assert await answer(serving, "small", "back again") == "back again"


async def test_an_idle_engine_that_is_killed_comes_back_by_itself(serving: Platform, create: Create) -> None:
    model = serving.tuning_jobs.run(create().id)
    await answer(serving, "tickets", "wake up")
    first = await pid_of(serving, "small")
    os.kill(first, signal.SIGKILL)
    await until_ready(serving, "small", other_than=first)
    assert await answer(serving, "tickets", "adapter?") == model.id


async def test_a_model_that_cannot_be_loaded_is_told_each_time_and_tried_again(serving: Platform) -> None:
    folder = Path(serving.base_models.get("small").path)
    folder.rename(folder.with_name("away"))
    for _ in range(2):
        with pytest.raises(UnsupportedModel, match="is no model"):
            await answer(serving, "small", "x")
    folder.with_name("away").rename(folder)
    assert await answer(serving, "small", "now") == "now"


async def test_an_answer_that_is_given_up_stops_the_engine(serving: Platform) -> None:
    chunks = serving.engines.generate(GenerateRequest(model="small", text="hold"))
    await anext(chunks)
    await chunks.aclose()
    assert (await serving.engines.stats())["small"]["aborted"] == 1


async def test_stopping_lets_answers_end_and_leaves_no_process(serving: Platform) -> None:
    chunks = serving.engines.generate(GenerateRequest(model="small", text="hold"))
    await anext(chunks)
    process = ProcessId.of(await pid_of(serving, "small"))
    rest, _ = await asyncio.gather(anext(chunks), serving.engines.stop())
    assert (rest.text, rest.finish_reason) == ("end", "stop")
    assert not process.is_alive
    await chunks.aclose()


async def test_closing_the_platform_ends_engines_that_were_not_stopped(serving: Platform) -> None:
    await answer(serving, "small", "wake up")
    process = ProcessId.of(await pid_of(serving, "small"))
    serving.close()
    assert not process.is_alive


async def test_where_nothing_is_set_an_engine_is_as_it_is_by_itself():
    assert engine_options(Settings()) == EngineOptions()
