import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fettle.clusters.local_engine import LocalEngine
from fettle.errors import InvalidInput, Unavailable, UnsupportedModel
from fettle.types.engine import EngineOptions
from fettle.types.generation import GenerateChunk, GenerateRequest


@asynccontextmanager
async def engine(folder: Path, model: Path | None = None) -> AsyncIterator[LocalEngine]:
    started = await LocalEngine.start(
        "base",
        model or folder,
        folder=folder / "e",
        log_path=folder / "log",
        threads=1,
        options=EngineOptions(),
        module="echo_engine",
    )
    try:
        yield started
    finally:
        await started.stop(grace_seconds=10)


def ask(text: str, num_choices: int = 1) -> GenerateRequest:
    return GenerateRequest(model="base", text=text, num_choices=num_choices)


pytestmark = pytest.mark.anyio


async def answer(engine: LocalEngine, text: str, adapter: str | None = None) -> str:
    return " ".join([chunk.text async for chunk in engine.client.generate(ask(text), adapter)])


async def test_chunks_arrive_as_they_were_sent(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        assert await running.client.ready() == {"name": "base"}
        chunks = [chunk async for chunk in running.client.generate(ask("one two"))]
    assert [chunk.text for chunk in chunks] == ["one", "two"]
    for chunk in chunks:
        assert GenerateChunk.model_validate(chunk.model_dump()) == chunk
    assert chunks[1].logprobs[0].top == ((1, "two", -0.5),)


async def test_all_choices_are_awaited(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        chunks = [chunk async for chunk in running.client.generate(ask("a b", num_choices=3))]
    assert sorted((chunk.index, chunk.text) for chunk in chunks) == [(i, word) for i in range(3) for word in "ab"]


async def test_many_requests_at_once_get_their_own_answers(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        texts = [f"request number {number}" for number in range(200)]
        assert await asyncio.gather(*(answer(running, text) for text in texts)) == texts


async def test_an_iterator_that_is_closed_stops_the_engine(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        chunks = running.client.generate(ask("hold"))
        assert (await anext(chunks)).text == "holding"
        await chunks.aclose()
        assert (await running.client.stats())["aborted"] == 1
        assert running.client.num_running == 0


async def test_a_task_that_is_cancelled_stops_the_engine(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        chunks = running.client.generate(ask("hold"))
        await anext(chunks)
        task = asyncio.create_task(anext(chunks))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await running.client.stats())["aborted"] == 1


async def test_a_finished_request_is_not_aborted(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        await answer(running, "short")
        assert (await running.client.stats())["aborted"] == 0


async def test_an_error_of_one_request_is_its_own(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        with pytest.raises(InvalidInput, match="cannot be done") as caught:
            await answer(running, "refuse")
        assert (caught.value.hint, caught.value.param) == ("do another", "text")
        assert await answer(running, "still here") == "still here"


async def test_when_the_worker_dies_all_who_wait_are_told_its_last_words(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        waiting = running.client.generate(ask("hold"))
        await anext(waiting)
        with pytest.raises(Unavailable, match="last words of the engine"):
            await answer(running, "die")
        with pytest.raises(Unavailable):
            await anext(waiting)
        with pytest.raises(Unavailable):
            await running.client.stats()
        assert running.state == "failed"


async def test_a_model_that_cannot_be_loaded_is_told_by_ready(tmp_path: Path) -> None:
    async with engine(tmp_path, tmp_path / "absent") as running:
        with pytest.raises(UnsupportedModel, match="is no model"):
            await running.client.ready()


async def test_an_adapter_is_loaded_once_however_many_ask(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        await asyncio.gather(*(running.load_adapter("tickets", tmp_path) for _ in range(20)))
        assert (await running.client.stats())["adapters"] == 1
        assert await answer(running, "adapter?", "tickets") == "tickets"


async def test_an_adapter_that_could_not_be_loaded_can_be_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "late"
    async with engine(tmp_path) as running:
        with pytest.raises(UnsupportedModel):
            await running.load_adapter("tickets", folder)
        folder.mkdir()
        await running.load_adapter("tickets", folder)


async def test_closing_lets_what_runs_end_and_takes_nothing_new(tmp_path: Path) -> None:
    async with engine(tmp_path) as running:
        chunks = running.client.generate(ask("hold"))
        await anext(chunks)
        closing = asyncio.create_task(running.client.close())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="shutting down"):
            await running.client.stats()
        assert [chunk.text async for chunk in chunks] == ["end"]
        await closing
    assert running.worker.wait() == 0
