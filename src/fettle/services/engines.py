"""The engines: a process per base model (or fully tuned model), started when first asked, and again when it died."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from fettle.clusters.engine_client import EngineClient
from fettle.clusters.local_engine import LocalEngine
from fettle.errors import Ending, FettleError, InvalidInput, NotFound, unknown
from fettle.registry.base_models import not_installed
from fettle.services.base_models import BaseModels
from fettle.services.custom_models import CustomModels
from fettle.services.endpoints import Endpoints
from fettle.settings import Settings
from fettle.types.access import DEFAULT_PROJECT
from fettle.types.encoder import ENCODER_FAMILIES
from fettle.types.encoding import Encoded, EncodeRequest
from fettle.types.engine import EngineOptions
from fettle.types.generation import GenerateChunk, GenerateRequest
from fettle.types.tokens import DetokenizeRequest, Tokenized, TokenizeRequest

log = logging.getLogger(__name__)
T = TypeVar("T")
DRAIN_SECONDS = 30.0
#: Times in a row that an engine is started again without having been asked anything.
MAX_RESTARTS = 3


@dataclass(frozen=True)
class Resolved:
    """What a model's name means: whose weights, and which adapter on them (None: none)."""

    engine: str
    model_path: Path
    adapter: str | None = None
    adapter_path: Path | None = None
    is_encoder: bool = False
    threads: int | None = None


def engine_options(settings: Settings) -> EngineOptions:
    """How the engines of an installation are to keep their models."""
    return EngineOptions(
        dtype=settings.dtype,
        weights=settings.serving_weights,
        cache_bytes=settings.serving_cache_bytes,
        adapter_bytes=settings.serving_adapter_bytes,
    )


class Engines:
    """What answers requests; belongs to one event loop, in which it is started, asked and stopped."""

    def __init__(
        self,
        base_models: BaseModels,
        custom_models: CustomModels,
        endpoints: Endpoints,
        settings: Settings,
        module: str,
    ) -> None:
        """Engines for these models; `module` is the worker that serves one."""
        self._base_models, self._custom_models, self._settings = base_models, custom_models, settings
        self._endpoints, self._module = endpoints, module
        self._engines: dict[str, LocalEngine] = {}
        self._starting: dict[str, asyncio.Task[LocalEngine]] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._restarts: Counter[str] = Counter()

    def of(self, custom_models: CustomModels, endpoints: Endpoints) -> Self:
        """The same engines for whoever may name these custom models and endpoints only."""
        view = copy(self)
        view._custom_models, view._endpoints = custom_models, endpoints
        return view

    def find(self, model: str) -> Resolved:
        """What a model's or an endpoint's name means; a hosting cluster has engines of its own.

        Raises:
            NotFound: there is no such model; with the nearest name.
            Conflict: the endpoint is not active.
        """
        if place := self._endpoints.place(model):
            found = resolve(place.model, self._base_models, self._custom_models)
            return replace(found, engine=f"{found.engine}@{place.cluster_id}", threads=place.threads)
        return resolve(model, self._base_models, self._custom_models)

    async def start(self, names: Sequence[str]) -> None:
        """Begin to load these models; returns before they are loaded.

        Raises:
            NotFound: there is no such model.
        """
        for found in [self.find(name) for name in names]:
            await self._engine(found)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateChunk, None]:
        """The chunks of all choices as they are made; closing or cancelling it stops the work.

        Raises:
            NotFound: there is no such model.
            Unavailable: its engine died; the next request starts it again.
            FettleError: the model cannot be loaded, or the request cannot be done.
        """
        found = await asyncio.to_thread(self.find, request.model)
        if found.is_encoder:
            hint = "Ask it at /v1/classify or /v1/embeddings, or with `fettle classify`."
            raise InvalidInput(f"{request.model!r} is a sentence encoder: it writes no text", hint=hint, param="model")
        is_begun = False
        while not is_begun:
            client = await self._loaded(found)
            with suppress(Ending):
                async with aclosing(client.generate(request, found.adapter)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                is_begun = True

    async def encode(self, request: EncodeRequest) -> Encoded:
        """What a sentence encoder makes of texts; cancelling it stops the work.

        Raises:
            NotFound: there is no such model.
            InvalidInput: it is no sentence encoder, or the texts cannot be used.
            Unavailable: its engine died; the next request starts it again.
        """
        found = await asyncio.to_thread(self.find, request.model)
        if not found.is_encoder:
            hint = "Ask it at /v1/chat/completions, or take a sentence encoder such as minilm."
            told = f"{request.model!r} writes text: it gives no vectors or classes"
            raise InvalidInput(told, hint=hint, param="model")
        return await self._told(found, lambda client: client.encode(request, found.adapter))

    async def tokenize(self, request: TokenizeRequest) -> Tokenized:
        """A prompt's tokens, as they are when the model is asked to answer it; raises as `generate`."""
        found = await asyncio.to_thread(self.find, request.model)
        return await self._told(found, lambda client: client.tokenize(request, found.adapter))

    async def detokenize(self, request: DetokenizeRequest) -> str:
        """The text of a model's tokens; raises as `generate`."""
        found = await asyncio.to_thread(self.find, request.model)
        return await self._told(found, lambda client: client.detokenize(request))

    def states(self) -> dict[str, str]:
        """Each engine's state: loading, ready or failed."""
        return dict.fromkeys(self._starting, "loading") | {name: one.state for name, one in self._engines.items()}

    async def stats(self) -> dict[str, dict[str, Any]]:
        """Each ready engine's counters."""
        ready = {name: engine for name, engine in self._engines.items() if engine.client.is_ready}
        found = await asyncio.gather(*(one.client.stats() for one in ready.values()), return_exceptions=True)
        return {name: stats for name, stats in zip(ready, found, strict=True) if isinstance(stats, dict)}

    async def release(self, cluster_id: str) -> None:
        """End a hosting cluster's engines, after what they answer now; they start again when they are asked."""
        if starting := [task for name, task in self._starting.items() if name.endswith(f"@{cluster_id}")]:
            await asyncio.wait(starting)
        names = [name for name in self._engines if name.endswith(f"@{cluster_id}")]
        engines = [self._engines.pop(name) for name in names]
        await asyncio.gather(*(engine.stop(DRAIN_SECONDS) for engine in engines))

    async def end(self, is_needed: Callable[[str], bool]) -> None:
        """End the engines whose names are not needed (any more), after what they answer now."""
        engines = [self._engines.pop(name) for name in tuple(self._engines) if not is_needed(name)]
        await asyncio.gather(*(engine.stop(DRAIN_SECONDS) for engine in engines))

    async def stop(self, grace_seconds: float = DRAIN_SECONDS) -> None:
        """Let what runs end, for a while, and end the engines."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, *self._starting.values(), return_exceptions=True)
        engines = list(self._engines.values())
        self._engines.clear()
        await asyncio.gather(*(engine.stop(grace_seconds) for engine in engines))

    def kill(self) -> None:
        """End at once whatever `stop` was not called for."""
        for engine in self._engines.values():
            engine.worker.terminate(grace_seconds=1)

    async def _told(self, found: Resolved, ask: Callable[[EngineClient], Awaitable[T]]) -> T:
        """What the engine answers; its successor, if it ends before it has begun."""
        while True:
            client = await self._loaded(found)
            with suppress(Ending):
                return await ask(client)

    async def _loaded(self, found: Resolved) -> EngineClient:
        """The running engine, once the model and its adapter are loaded."""
        while True:
            engine = await self._engine(found)
            with suppress(Ending):
                await engine.client.ready()
                self._restarts[found.engine] = 0
                if found.adapter and found.adapter_path:
                    await engine.load_adapter(found.adapter, found.adapter_path)
                return engine.client

    async def _engine(self, found: Resolved) -> LocalEngine:
        """The running engine, started if there is none; it may still be loading."""
        engine = self._engines.get(found.engine)
        if engine and engine.client.is_alive:
            return engine
        if found.engine not in self._starting:
            self._starting[found.engine] = asyncio.create_task(self._start(found))
        return await asyncio.shield(self._starting[found.engine])

    async def _start(self, found: Resolved) -> LocalEngine:
        home, name = self._settings.home, found.engine.replace("/", "--").replace(":", "-")
        try:
            engine = self._engines[found.engine] = await LocalEngine.start(
                found.engine,
                found.model_path,
                folder=home / "engines" / name,
                log_path=home / "logs" / f"engine-{name}.log",
                threads=found.threads or self._settings.threads,
                options=engine_options(self._settings),
                module=self._module,
            )
        finally:
            del self._starting[found.engine]
        watcher = asyncio.create_task(self._watch(found, engine))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return engine

    async def _watch(self, found: Resolved, engine: LocalEngine) -> None:
        """Start an engine again that had been ready and died, a few times; else it waits until it is asked."""
        try:
            await engine.client.ready()
        except Ending:
            return
        except FettleError as error:
            log.error("an engine could not load", extra={"engine": found.engine, "error": str(error)})
            return
        await engine.client.ended()
        if self._engines.get(found.engine) is not engine:
            return
        self._restarts[found.engine] += 1
        if self._restarts[found.engine] > MAX_RESTARTS:
            log.error("an engine died too often", extra={"engine": found.engine})
            return
        log.error("an engine died and is started again", extra={"engine": found.engine})
        await self._engine(found)


def resolve(model: str, base_models: BaseModels, custom_models: CustomModels) -> Resolved:
    """What the name of a custom or base model means.

    Raises:
        NotFound: there is neither; with the nearest name of both.
    """
    try:
        custom = custom_models.get(model)
    except NotFound:
        return _resolve_base(model, base_models, custom_models)
    path, base = custom_models.path(custom), base_models.get(custom.base)
    is_encoder = base.family in ENCODER_FAMILIES
    if custom.kind == "full":
        # Names are a project's own; an engine's name is seen by all.
        name = custom.full_name if custom.project_id == DEFAULT_PROJECT else custom.id
        return Resolved(name, path, is_encoder=is_encoder)
    return Resolved(custom.base, Path(base.path), custom.id, path, is_encoder)


def _resolve_base(model: str, base_models: BaseModels, custom_models: CustomModels) -> Resolved:
    bases = {entry.name: entry for entry in base_models.list()}
    if model in bases:
        return Resolved(model, Path(bases[model].path), is_encoder=bases[model].family in ENCODER_FAMILIES)
    if absent := not_installed(model):
        raise absent
    names = {name for custom in custom_models.list() for name in (custom.name, custom.full_name)}
    raise unknown("model", model, names | bases.keys(), param="model")
