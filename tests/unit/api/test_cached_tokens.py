"""What was computed before is told to clients and counted."""

import asyncio
from contextlib import aclosing

import pytest

from fettle.api.metrics import Meters, measured
from fettle.api.openai.answers import Usage
from fettle.types.generation import GenerateChunk, GenerateRequest


def chunk(index=0, cached=0, made=1):
    return GenerateChunk(
        request_id="r",
        index=index,
        token_ids=(1,),
        prompt_tokens=40,
        completion_tokens=made,
        cached_tokens=cached,
    )


@pytest.mark.parametrize(
    ("chunks", "count"),
    [
        ([], 0),
        ([(0, chunk(cached=32)), (0, chunk(cached=32, made=2))], 32),
        # The choices of a cold prompt share it among themselves: it was computed for this request.
        ([(0, chunk(1, cached=32)), (0, chunk(0)), (0, chunk(2, cached=32))], 0),
        ([(0, chunk(cached=32)), (1, chunk(cached=16))], 48),
    ],
)
def test_usage_tells_how_much_of_the_prompts_was_computed_before(chunks, count):
    usage = Usage()
    for number, one in chunks:
        usage.see(number, one)
    assert usage.told()["prompt_tokens_details"] == {"cached_tokens": count}


def test_metrics_count_cached_tokens_by_model():
    meters = Meters()

    async def chunks():
        yield chunk(1, cached=32)
        yield chunk(0, cached=16)

    async def read():
        request = GenerateRequest(model="small", token_ids=(1,), num_choices=2)
        async with aclosing(measured(request, chunks(), meters)) as stream:
            return [one async for one in stream]

    assert len(asyncio.run(read())) == 2
    assert b'fettle_cached_prompt_tokens_total{model="small"} 16.0' in meters.page()
