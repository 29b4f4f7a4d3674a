"""When requests are sent: by clients who wait for their answers, or at random times whatever the server does."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from math import inf
from random import Random
from time import perf_counter

from fettle.loadtest.spec import Load
from fettle.loadtest.workload import Ask

Send = Callable[[Ask, float], Awaitable[None]]
"""Sends a request that was due at a time of `perf_counter`, and comes back with the end of its answer."""


async def drive(load: Load, asks: Iterator[Ask], send: Send, *, seconds: float | None, random: Random) -> None:
    """Send requests at a load until there are no more or the time is over; wait for the answers of all."""
    end = perf_counter() + (inf if seconds is None else seconds)
    if load.rate is not None:
        await open_loop(load.rate, asks, send, end=end, random=random)
    else:
        await closed_loop(load.concurrency or 1, asks, send, end=end)


async def closed_loop(concurrency: int, asks: Iterator[Ask], send: Send, *, end: float = inf) -> None:
    """So many clients, each of which asks again as soon as it has its answer."""

    async def client() -> None:
        while perf_counter() < end and (ask := next(asks, None)):
            await send(ask, perf_counter())

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(client())


async def open_loop(rate: float, asks: Iterator[Ask], send: Send, *, end: float, random: Random) -> None:
    """Requests `rate` times a second on average, at times that know nothing of each other (a Poisson process)."""

    async def wait_and_send(ask: Ask, due: float) -> None:
        await send(ask, due)

    due = perf_counter()
    async with asyncio.TaskGroup() as group:
        for ask in asks:
            due += random.expovariate(rate)
            # To the end, though nothing more is due: throughput is by all the time in which something could have been.
            await asyncio.sleep(max(0.0, min(due, end) - perf_counter()))
            if due >= end:
                return
            group.create_task(wait_and_send(ask, due))
