"""What the server counts, for Prometheus."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from fettle.errors import FettleError, NotFound
from fettle.types.generation import GenerateChunk, GenerateRequest

SECONDS_TO_FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SECONDS_BETWEEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
SECONDS_IN_ALL = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

# A second series for each one, with the time at which it began: nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Meters:
    """The counters of one server."""

    def __init__(self) -> None:
        """Fresh counters, in a registry of their own."""
        registry = self.registry = CollectorRegistry()
        model = ["model"]
        self.http = Counter("fettle_http_requests", "HTTP answers", ["route", "status"], registry=registry)
        self.requests = Counter(
            "fettle_requests", "Prompts answered, by how it ended", ["model", "outcome"], registry=registry
        )
        self.prompt_tokens = Counter("fettle_prompt_tokens", "Tokens of prompts", model, registry=registry)
        self.cached_tokens = Counter(
            "fettle_cached_prompt_tokens", "Tokens of prompts that were computed before", model, registry=registry
        )
        self.completion_tokens = Counter("fettle_completion_tokens", "Tokens made", model, registry=registry)
        self.first = Histogram(
            "fettle_time_to_first_token_seconds",
            "From the request to its first token",
            model,
            registry=registry,
            buckets=SECONDS_TO_FIRST,
        )
        self.between = Histogram(
            "fettle_inter_token_latency_seconds",
            "From one token of a choice to its next",
            model,
            registry=registry,
            buckets=SECONDS_BETWEEN,
        )
        self.duration = Histogram(
            "fettle_request_duration_seconds",
            "From the request to its last token",
            model,
            registry=registry,
            buckets=SECONDS_IN_ALL,
        )
        self.running = Gauge("fettle_requests_running", "Prompts that are being answered", registry=registry)
        self.engine = Gauge("fettle_engine", "What each engine says of itself", ["engine", "what"], registry=registry)

    def page(self) -> bytes:
        """All counters, as Prometheus reads them."""
        return generate_latest(self.registry)


async def measured(
    request: GenerateRequest, chunks: AsyncGenerator[GenerateChunk, None], meters: Meters
) -> AsyncGenerator[GenerateChunk, None]:
    """The same chunks; counts them, their tokens and the time between them, however they end."""
    count, outcome = _Count(request.model, meters), "cancelled"
    with meters.running.track_inprogress():
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    count.see(chunk)
                    yield chunk
            outcome = "ok"
        except FettleError as error:
            outcome = error.code
            # The label must not grow with whatever names clients make up.
            count.model = "unknown" if isinstance(error, NotFound) else count.model
            raise
        except Exception:
            outcome = "bug"
            raise
        finally:
            count.end(outcome)


class _Count:
    """What is known of one request so far."""

    def __init__(self, model: str, meters: Meters) -> None:
        self.model, self._meters = model, meters
        self._began = time.perf_counter()
        self._last: dict[int, float] = {}
        self._prompt_tokens = 0
        self._cached_tokens: int | None = None
        self._completion_tokens: dict[int, int] = {}

    def see(self, chunk: GenerateChunk) -> None:
        now, before = time.perf_counter(), self._last.get(chunk.index)
        self._prompt_tokens = max(self._prompt_tokens, chunk.prompt_tokens)
        before_it = chunk.cached_tokens
        self._cached_tokens = before_it if self._cached_tokens is None else min(before_it, self._cached_tokens)
        if not chunk.token_ids:
            return
        if before is not None:
            self._meters.between.labels(self.model).observe((now - before) / len(chunk.token_ids))
        elif not self._last:
            self._meters.first.labels(self.model).observe(now - self._began)
        self._last[chunk.index] = now
        self._completion_tokens[chunk.index] = self._completion_tokens.get(chunk.index, 0) + len(chunk.token_ids)

    def end(self, outcome: str) -> None:
        meters, model = self._meters, self.model
        meters.requests.labels(model, outcome).inc()
        meters.prompt_tokens.labels(model).inc(self._prompt_tokens)
        meters.cached_tokens.labels(model).inc(self._cached_tokens or 0)
        meters.completion_tokens.labels(model).inc(sum(self._completion_tokens.values()))
        meters.duration.labels(model).observe(time.perf_counter() - self._began)
