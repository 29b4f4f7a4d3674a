"""A whole load test: warm up, then each load in turn, and what was found."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from random import Random
from time import perf_counter, process_time

import httpx

from fettle.errors import Unavailable
from fettle.loadtest.client import Client, Measured
from fettle.loadtest.drive import Send, closed_loop, drive
from fettle.loadtest.report import LoadReport, LoadResult, result_of
from fettle.loadtest.spec import Load, LoadSpec
from fettle.loadtest.workload import Ask, Prompt, workload

Watch = Callable[[str], None]
"""Is told the load of each request when it has ended."""
WARMUP = "warm-up"
WARMUP_CONCURRENCY = 8


async def run_load_test(
    spec: LoadSpec,
    prompts: Sequence[Prompt] = (),
    *,
    key: str = "",
    watch: Watch = lambda _: None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> LoadReport:
    """Do what the spec says.

    Args:
        prompts: those of the spec's file, if it names one.
        key: API key; "" sends none.
        watch: is told the load of each request when it has ended.
        transport: for tests, in the place of the network.

    Raises:
        Unavailable: no request of the warm-up was answered.
    """
    begun_at, client = (
        datetime.now(UTC),
        Client(spec.url, key, timeout_seconds=spec.timeout_seconds, transport=transport),
    )
    try:
        await _warm_up(spec, prompts, client, watch)
        results = [await _loaded(spec, prompts, client, watch, load, part) for part, load in enumerate(spec.loads)]
    finally:
        await client.close()
    return LoadReport(spec=spec, fettle=version("fettle-ai"), begun_at=begun_at, results=tuple(results))


async def _warm_up(spec: LoadSpec, prompts: Sequence[Prompt], client: Client, watch: Watch) -> None:
    num, found = len(spec.models) if spec.warmup is None else spec.warmup, list[Measured]()
    asks = (
        _of_model(ask, spec.models[number % len(spec.models)])
        for number, ask in enumerate(islice(workload(spec, prompts, part=-1), num))
    )
    await closed_loop(WARMUP_CONCURRENCY, asks, _sending(client, found, watch, WARMUP))
    if found and all(one.failure for one in found):
        told = {f"  {one.model}: {one.failure}: {one.told}": None for one in found}
        shown = "\n".join(list(told)[:20])
        raise Unavailable(f"{spec.url} answered no request of the warm-up:\n{shown}", hint=_HINT)


_HINT = "Look at --url (it most often ends with /v1), the names of the models and --api-key-env."


def _of_model(ask: Ask, model: str) -> Ask:
    """The same request to another model: each is to be warm."""
    return Ask(model, ask.body | {"model": model})


async def _loaded(
    spec: LoadSpec, prompts: Sequence[Prompt], client: Client, watch: Watch, load: Load, part: int
) -> LoadResult:
    asks, found = islice(workload(spec, prompts, part=part), spec.num_requests), list[Measured]()
    begun, cpu = perf_counter(), process_time()
    send = _sending(client, found, watch, str(load))
    await drive(load, asks, send, seconds=spec.duration_seconds, random=Random(f"{spec.seed} times"))
    seconds, cpu_seconds = perf_counter() - begun, process_time() - cpu
    return result_of(spec, load, found, begun=begun, seconds=seconds, cpu_seconds=cpu_seconds)


def _sending(client: Client, found: list[Measured], watch: Watch, load: str) -> Send:
    async def send(ask: Ask, due: float) -> None:
        measured = await client.measure(ask, due)
        found.append(measured)
        watch(load)

    return send
