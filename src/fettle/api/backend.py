"""The platform as the routes see it: models to name, and engines that answer."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, Protocol

from fastapi import Request

from fettle.api.metrics import Meters, measured
from fettle.errors import TooManyRequests, Unavailable
from fettle.services.batches import Batches
from fettle.services.engine_keeper import EngineKeeper
from fettle.services.files import Files
from fettle.services.keys import Keys
from fettle.services.projects import Projects
from fettle.services.refusals import Refusals
from fettle.services.responses import Responses
from fettle.services.supervisor import Supervisor
from fettle.services.tuning_jobs import TuningJobs
from fettle.services.uploads import Uploads
from fettle.store.audit import AuditLog
from fettle.types.access import DEFAULT_PROJECT
from fettle.types.encoding import Encoded, EncodeRequest
from fettle.types.endpoints import Endpoint
from fettle.types.generation import GenerateChunk, GenerateRequest
from fettle.types.resources import BaseModelEntry, CustomModel, TuningJob
from fettle.types.tokens import DetokenizeRequest, Tokenized, TokenizeRequest

Chunks = AsyncGenerator[tuple[int, GenerateChunk], None]


class BaseModels(Protocol):
    """The catalogue."""

    def list(self) -> Sequence[BaseModelEntry]:
        """All base models."""

    def get(self, name: str) -> BaseModelEntry:
        """The one of this name, or NotFound."""


class CustomModels(Protocol):
    """The tuned models."""

    def list(self) -> Sequence[CustomModel]:
        """All versions of all custom models."""

    def get(self, name: str) -> CustomModel:
        """The one of this name, or NotFound."""

    def delete(self, name: str) -> CustomModel:
        """Delete one version with its files."""

    def made_by(self, job: TuningJob) -> CustomModel | None:
        """The version that a job has made, also if it was deleted since; None when it has made none."""


class Endpoints(Protocol):
    """The names under which hosting clusters serve models."""

    def list(self) -> Sequence[Endpoint]:
        """All endpoints."""


class Engines(Protocol):
    """What answers."""

    def find(self, model: str) -> object:
        """Something, if there is a model of this name, else NotFound."""

    async def start(self, names: Sequence[str]) -> None:
        """Begin to load these models; others are loaded when they are first asked."""

    def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateChunk, None]:
        """The chunks of all choices as they are made; closing it stops the work.

        Raises:
            NotFound: there is no such model.
            Unavailable: its engine does not run (now).
        """

    async def encode(self, request: EncodeRequest) -> Encoded:
        """What a sentence encoder makes of texts.

        Raises:
            NotFound: there is no such model.
            InvalidInput: it is no sentence encoder, or the texts cannot be used.
            Unavailable: its engine does not run (now).
        """

    async def tokenize(self, request: TokenizeRequest) -> Tokenized:
        """A prompt's tokens; raises as `generate`, and InvalidInput when the model cannot read it."""

    async def detokenize(self, request: DetokenizeRequest) -> str:
        """The text of tokens; raises as `tokenize`."""

    def states(self) -> Mapping[str, str]:
        """Each engine's state: "loading", "ready" or "failed"."""

    async def stats(self) -> Mapping[str, Mapping[str, Any]]:
        """Each ready engine's counters."""

    async def stop(self) -> None:
        """Let what runs end, and end the engines."""


class Platform(Protocol):
    """What the API needs of the platform, as a project sees it."""

    @property
    def base_models(self) -> BaseModels:
        """The catalogue."""

    @property
    def custom_models(self) -> CustomModels:
        """The tuned models."""

    @property
    def endpoints(self) -> Endpoints:
        """The models' other names."""

    @property
    def engines(self) -> Engines:
        """What answers."""

    @property
    def files(self) -> Files:
        """What was uploaded."""

    @property
    def uploads(self) -> Uploads:
        """What is uploaded in parts."""

    @property
    def batches(self) -> Batches:
        """What is to be answered within a day."""

    @property
    def responses(self) -> Responses:
        """What was answered and is kept."""

    @property
    def tuning_jobs(self) -> TuningJobs:
        """What makes tuned models."""

    @property
    def engine_keeper(self) -> EngineKeeper:
        """What has the engines follow the store."""

    @property
    def supervisor(self) -> Supervisor:
        """What runs the jobs."""


class Installation(Platform, Protocol):
    """What the API needs of the whole installation, whose own services are those of the default project."""

    @property
    def keys(self) -> Keys:
        """Who may call."""

    @property
    def projects(self) -> Projects:
        """Whose rows there are."""

    @property
    def audit(self) -> AuditLog:
        """Who has changed what."""

    @property
    def refusals(self) -> Refusals:
        """Who was refused what."""

    @property
    def everywhere(self) -> Platform:
        """The services that see all projects."""

    def of(self, project: str) -> Platform:
        """The services of a project."""


class Room:
    """How much is asked of the server at this moment, by all its callers."""

    def __init__(self, max_running: int) -> None:
        """Room for `max_running` prompts that are answered or wait at once."""
        self._max_running, self._running = max_running, 0

    @contextmanager
    def taken(self, number: int) -> Iterator[None]:
        """Hold room for as many prompts inside the block.

        Raises:
            TooManyRequests: there is not as much.
        """
        if self._running + number > self._max_running:
            raise TooManyRequests(
                f"more than {self._max_running} prompts at once", hint="Send it again a little later."
            )
        self._running += number
        try:
            yield
        finally:
            self._running -= number


def _nothing(_: int) -> None:
    """Count for nobody."""


class Backend:
    """A project of the platform, measured, with a limit to what is asked of all projects at once."""

    def __init__(
        self, platform: Platform, meters: Meters, room: Room, scope: str = "", spend: Callable[[int], None] = _nothing
    ) -> None:
        """The backend for who may see `platform`.

        Args:
            platform: whose models are asked.
            meters: what is counted for all.
            room: that all share.
            scope: what was computed of prompts is shared inside of it only.
            spend: told how many tokens each prompt and its answer have.
        """
        self.platform, self.meters, self._room = platform, meters, room
        self._scope, self._spend = scope, spend

    def generate(self, requests: Sequence[GenerateRequest]) -> Chunks:
        """The chunks of several prompts as they come, each with the number of its prompt; closing it stops the work.

        Raises:
            TooManyRequests: the server has all the work that it accepts.
        """
        return self._counted(len(requests), merged([self._measured(request) for request in requests]))

    async def encode(self, request: EncodeRequest) -> Encoded:
        """What a sentence encoder makes of texts, which count as one prompt.

        Raises:
            TooManyRequests: the server has all the work that it accepts.
        """
        with self._room.taken(1), self.meters.running.track_inprogress():
            encoded = await self.platform.engines.encode(request)
        self.meters.requests.labels(request.model, "ok").inc()
        self.meters.prompt_tokens.labels(request.model).inc(encoded.prompt_tokens)
        self._spend(encoded.prompt_tokens)
        return encoded

    async def tokenize(self, request: TokenizeRequest) -> Tokenized:
        """A prompt's tokens; counts as one prompt, of which nothing is computed.

        Raises:
            TooManyRequests: the server has all the work that it accepts.
        """
        with self._room.taken(1), self.meters.running.track_inprogress():
            return await self.platform.engines.tokenize(request)

    async def detokenize(self, request: DetokenizeRequest) -> str:
        """The text of tokens; counts and raises as `tokenize`."""
        with self._room.taken(1), self.meters.running.track_inprogress():
            return await self.platform.engines.detokenize(request)

    def _measured(self, request: GenerateRequest) -> AsyncGenerator[GenerateChunk, None]:
        scoped = request.model_copy(update={"scope": self._scope})
        chunks = _unbroken(self.platform.engines.generate(scoped))
        return measured(request, spent(chunks, self._spend), self.meters)

    async def _counted(self, number: int, chunks: Chunks) -> Chunks:
        with self._room.taken(number):
            async with aclosing(chunks):
                async for numbered in chunks:
                    yield numbered

    async def metrics_page(self) -> bytes:
        """All counters, the engines' own included."""
        for name, stats in (await self.platform.engines.stats()).items():
            for what, value in stats.items():
                if isinstance(value, int | float):
                    self.meters.engine.labels(name, what).set(value)
        return self.meters.page()


class Backends:
    """The backends of one application."""

    def __init__(self, platform: Installation, meters: Meters, max_running: int) -> None:
        """A backend for each project of `platform`, all of which share the room."""
        self.platform, self._meters, self._room = platform, meters, Room(max_running)

    def of(self, project: str, key_id: str = "") -> Backend:
        """The backend of a project; tokens are counted for a key, if one is named."""
        spend = partial(self.platform.keys.quotas.spend, key_id) if key_id else _nothing
        return Backend(self.platform.of(project), self._meters, self._room, project, spend)


def backend_of(request: Request) -> Backend:
    """The backend of the project that a request comes from; of the default one where nobody has to say who he is."""
    backends, principal = request.app.state.backends, getattr(request.state, "principal", None)
    assert isinstance(backends, Backends)
    return backends.of(principal.project_id, principal.counted_key) if principal else backends.of(DEFAULT_PROJECT)


async def _unbroken(chunks: AsyncGenerator[GenerateChunk, None]) -> AsyncGenerator[GenerateChunk, None]:
    """The chunks; one that was given up becomes an error, as half an answer is none."""
    async with aclosing(chunks):
        async for chunk in chunks:
            if chunk.finish_reason == "abort":
                raise Unavailable("the engine stopped before the answer was complete", hint="Send the request again.")
            yield chunk


async def spent(
    chunks: AsyncGenerator[GenerateChunk, None], spend: Callable[[int], None]
) -> AsyncGenerator[GenerateChunk, None]:
    """The same chunks; tells how many tokens the prompt and all its choices have, however they end."""
    prompt, made = 0, dict[int, int]()
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                prompt, made[chunk.index] = max(prompt, chunk.prompt_tokens), chunk.completion_tokens
                yield chunk
    finally:
        if made:
            spend(prompt + sum(made.values()))


async def merged(streams: Sequence[AsyncGenerator[GenerateChunk, None]]) -> Chunks:
    """The chunks of all streams in the order in which they come; an error in one ends all."""
    if len(streams) == 1:
        async with aclosing(streams[0]) as only:
            async for chunk in only:
                yield 0, chunk
        return
    queue: asyncio.Queue[tuple[int, GenerateChunk] | BaseException | None] = asyncio.Queue()
    pumps = [asyncio.create_task(_pump(number, stream, queue)) for number, stream in enumerate(streams)]
    try:
        for _ in streams:
            while (item := await queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(
    number: int,
    stream: AsyncGenerator[GenerateChunk, None],
    queue: "asyncio.Queue[tuple[int, GenerateChunk] | BaseException | None]",
) -> None:
    try:
        async with aclosing(stream):
            async for chunk in stream:
                queue.put_nowait((number, chunk))
        queue.put_nowait(None)
    except Exception as error:  # noqa: BLE001 - it is raised again where the chunks are read
        queue.put_nowait(error)
