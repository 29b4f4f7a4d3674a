"""What a load test has found: percentiles, throughput and failures, of all requests and of each model."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
from pydantic import Field

from fettle.loadtest.client import Measured
from fettle.loadtest.spec import Load, LoadSpec
from fettle.types.record import Record

PERCENTILES = (50, 90, 95, 99)


class Stats(Record):
    """A quantity over requests or tokens, in seconds; percentiles are interpolated between neighbours."""

    num: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Stats | None":
        """The statistics of these values; None of no values."""
        if not values:
            return None
        found = {f"p{percent}": float(np.percentile(values, percent)) for percent in PERCENTILES}
        return cls(num=len(values), mean=float(np.mean(values)), max=max(values), **found)


class Failure(Record):
    """Requests that failed in the same way."""

    kind: str
    num: int
    example: str = Field(description="what the server or the network said the first time")


class RequestResult(Record):
    """One request that was measured; None is what it does not have."""

    model: str
    sent_seconds: float = Field(description="since the load began")
    late_seconds: float = Field(description="it was sent so much later than it was due, for want of processor time")
    ttft_seconds: float | None = Field(description="from when it was due to the first piece of the answer")
    itl_seconds: float | None = Field(description="mean time per token after the first piece")
    e2e_seconds: float = Field(description="from when it was due to the end of the answer")
    prompt_tokens: int | None = Field(description="as the server counts them")
    output_tokens: int | None = Field(description="as the server counts them, else the pieces of the stream")
    counted_by: str = Field(description="where output_tokens is from: usage, pieces or nothing")
    failure: str = Field(description='kind of failure, or ""')

    @classmethod
    def of(cls, measured: Measured, begun: float) -> "RequestResult":
        """The result of a request at a load that had begun at that time."""
        times, usage = measured.times, measured.usage
        num_tokens = usage.completion_tokens if usage else len(times) or None
        spread = len(times) > 1 and num_tokens is not None and num_tokens > 1
        return cls(
            model=measured.model,
            sent_seconds=measured.sent - begun,
            late_seconds=measured.sent - measured.due,
            ttft_seconds=times[0] - measured.due if times else None,
            itl_seconds=(times[-1] - times[0]) / (num_tokens - 1) if spread and num_tokens else None,
            e2e_seconds=measured.ended - measured.due,
            prompt_tokens=usage.prompt_tokens if usage else None,
            output_tokens=num_tokens,
            counted_by="usage" if usage else "pieces" if times else "nothing",
            failure=measured.failure,
        )

    def is_good(self, spec: LoadSpec) -> bool:
        """Whether it was answered within the spec's objectives; a time that it does not have misses none."""
        return (
            not self.failure
            and _is_within(self.ttft_seconds, spec.slo_ttft_seconds)
            and _is_within(self.itl_seconds, spec.slo_itl_seconds)
        )


def _is_within(value: float | None, limit: float | None) -> bool:
    return value is None or limit is None or value <= limit


class Summary(Record):
    """What requests had in common; times and tokens are of those that were answered."""

    num_requests: int
    num_answered: int
    failures: tuple[Failure, ...]
    prompt_tokens: int
    output_tokens: int
    counted_by: dict[str, int] = Field(description="answers by where the number of their output tokens is from")
    requests_per_second: float = Field(description="answered ones, by the time of the whole load")
    output_tokens_per_second: float
    goodput: float | None = Field(description="answered within the objectives, per second; None without objectives")
    ttft_seconds: Stats | None = Field(description="time to the first piece, per request")
    itl_seconds: Stats | None = Field(description="time between two pieces of one answer, per piece")
    mean_itl_seconds: Stats | None = Field(description="mean time per token after the first piece, per request")
    e2e_seconds: Stats | None = Field(description="time to the end of the answer, per request")


class LoadResult(Record):
    """What was found at one load."""

    load: Load
    seconds: float = Field(description="from the first request to the end of the last answer")
    client_cpu: float = Field(description="processor seconds of this program by second; near 1 it measures itself")
    all: Summary
    models: dict[str, Summary]
    requests: tuple[RequestResult, ...]


class LoadReport(Record):
    """A whole load test: what was asked for, and what was found at each load."""

    spec: LoadSpec
    fettle: str = Field(description="version")
    begun_at: datetime
    results: tuple[LoadResult, ...]

    @property
    def has_answers(self) -> bool:
        """Whether any request was answered."""
        return any(result.all.num_answered for result in self.results)


def result_of(
    spec: LoadSpec, load: Load, measured: Sequence[Measured], *, begun: float, seconds: float, cpu_seconds: float
) -> LoadResult:
    """What the requests of a load sum up to.

    Args:
        begun: when the load began, on the clock of `perf_counter`.
        seconds: how long it took.
        cpu_seconds: processor time that this program took for it.
    """
    groups = defaultdict(list)
    for one in measured:
        groups[one.model].append(one)
    return LoadResult(
        load=load,
        seconds=seconds,
        client_cpu=cpu_seconds / seconds,
        all=_summary(spec, measured, seconds),
        models={model: _summary(spec, groups[model], seconds) for model in spec.models if model in groups},
        requests=tuple(RequestResult.of(one, begun) for one in sorted(measured, key=lambda one: one.sent)),
    )


def _summary(spec: LoadSpec, measured: Sequence[Measured], seconds: float) -> Summary:
    answered = [one for one in measured if not one.failure]
    results = [RequestResult.of(one, 0) for one in answered]
    num_tokens = sum(result.output_tokens or 0 for result in results)
    has_objectives = spec.slo_ttft_seconds is not None or spec.slo_itl_seconds is not None
    return Summary(
        num_requests=len(measured),
        num_answered=len(answered),
        failures=_failures(measured),
        prompt_tokens=sum(result.prompt_tokens or 0 for result in results),
        output_tokens=num_tokens,
        counted_by=dict(Counter(result.counted_by for result in results)),
        requests_per_second=len(answered) / seconds,
        output_tokens_per_second=num_tokens / seconds,
        goodput=sum(result.is_good(spec) for result in results) / seconds if has_objectives else None,
        ttft_seconds=_stats(result.ttft_seconds for result in results),
        itl_seconds=Stats.of([after - before for one in answered for before, after in pairwise(one.times)]),
        mean_itl_seconds=_stats(result.itl_seconds for result in results),
        e2e_seconds=_stats(result.e2e_seconds for result in results),
    )


def _stats(values: Iterable[float | None]) -> Stats | None:
    return Stats.of([value for value in values if value is not None])


def _failures(measured: Sequence[Measured]) -> tuple[Failure, ...]:
    examples: dict[str, str] = {}
    for one in measured:
        examples.setdefault(one.failure, one.told)
    counts = Counter(one.failure for one in measured if one.failure)
    return tuple(Failure(kind=kind, num=num, example=examples[kind]) for kind, num in counts.most_common())
