"""A platform whose models answer from a script, in the same way each time; for tests of what stands above it."""

import asyncio
import struct
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Self

from fettle.errors import InvalidInput, unknown
from fettle.services.keys import wrong_key
from fettle.types.access import Principal
from fettle.types.encoding import Encoded, EncodeRequest
from fettle.types.generation import FinishReason, GenerateChunk, GenerateRequest, TokenLogprob
from fettle.types.ids import new_id, now
from fettle.types.resources import BaseModelEntry, Batch, CustomModel
from fettle.types.tokens import DetokenizeRequest, Tokenized, TokenizeRequest

LOGPROB = -0.5


class Listed:
    """Models by name, as the catalogue and the registry give them."""

    def __init__(self, models: Mapping[str, Any]) -> None:
        """These models."""
        self._models = dict(models)

    def list(self) -> list[Any]:
        """All of them."""
        return list(self._models.values())

    def get(self, name: str) -> Any:
        """One of them, or NotFound."""
        if name not in self._models:
            raise unknown("model", name, self._models, param="model")
        return self._models[name]


class ScriptedEngines:
    """Engines that answer each prompt with the tokens of a script.

    Attributes:
        failures: model -> error that it raises; `fails_after` is the number of tokens before that.
        hold_after: tokens after which an answer waits until it is cancelled or `go_on` is set; None never waits.
        requests: everything that was asked.
        vectors: text -> its vector; others have (0.6, 0.8).
        running: requests that are being answered now.
        cancelled: requests that were closed before their end.
        loaded: what `states` tells.
    """

    def __init__(self, scripts: Mapping[str, Sequence[str]]) -> None:
        """Engines for the models named in `scripts`, each with the tokens of its answers."""
        self._scripts = dict(scripts)
        self.failures: dict[str, Exception] = {}
        self.fails_after = 0
        self.hold_after: int | None = None
        self.go_on = asyncio.Event()
        self.requests: list[GenerateRequest] = []
        self.vectors: Mapping[Any, tuple[float, float]] = {}
        self.running: list[str] = []
        self.cancelled: list[str] = []
        self.loaded: dict[str, str] = {}

    def find(self, model: str) -> Sequence[str]:
        """The script of a model, or NotFound."""
        if model not in self._scripts:
            raise unknown("model", model, self._scripts, param="model")
        return self._scripts[model]

    async def start(self, names: Sequence[str]) -> None:
        """Be ready at once."""
        self.loaded |= dict.fromkeys(names, "ready")

    async def stop(self) -> None:
        """Unload everything."""
        self.loaded = {}

    async def release(self, cluster_id: str) -> None:
        """Keep what is loaded: nothing here is a cluster's own."""

    def kill(self) -> None:
        """Nothing runs that could be ended."""

    def states(self) -> dict[str, str]:
        """The state of each engine."""
        return dict(self.loaded)

    async def stats(self) -> dict[str, dict[str, Any]]:
        """The number of running requests, under one name."""
        return {"scripted": {"running": len(self.running), "waiting": 0}}

    async def encode(self, request: EncodeRequest) -> Encoded:
        """Each text's vector, or that it is ham (1 of 4) or spam; a token per letter or token."""
        if request.model in self.failures:
            raise self.failures[request.model]
        self.find(request.model)
        is_embedding = request.task == "embed"
        pairs = [self.vectors.get(one, (0.6, 0.8)) if is_embedding else (0.25, 0.75) for one in request.inputs]
        return Encoded(
            values=tuple(struct.pack("<2f", *pair) for pair in pairs),
            labels=() if is_embedding else ("ham", "spam"),
            prompt_tokens=sum(map(len, request.inputs)),
        )

    async def tokenize(self, request: TokenizeRequest) -> Tokenized:
        """The code points of the prompt; a conversation's turns follow each other."""
        self.find(request.model)
        text = request.text if request.text is not None else "".join(turn.content for turn in request.messages or ())
        return Tokenized(token_ids=tuple(map(ord, text)), texts=tuple(text), max_length=128)

    async def detokenize(self, request: DetokenizeRequest) -> str:
        """The text of code points."""
        self.find(request.model)
        if max(request.token_ids, default=0) > sys.maxunicode:
            raise InvalidInput("there is no such token", param="tokens")
        return "".join(map(chr, request.token_ids))

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateChunk, None]:
        """The script's tokens, a chunk each, the choices in turn."""
        self.requests.append(request)
        request_id = new_id("req")
        self.running.append(request_id)
        try:
            for number, chunks in enumerate(self._steps(request_id, request)):
                await self._wait(number, request.model)
                for chunk in chunks:
                    yield chunk
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled.append(request_id)
            raise
        finally:
            self.running.remove(request_id)

    async def _wait(self, number: int, model: str) -> None:
        if number >= self.fails_after and model in self.failures:
            raise self.failures[model]
        if self.hold_after is not None and number >= self.hold_after:
            await self.go_on.wait()
        await asyncio.sleep(0)

    def _steps(self, request_id: str, request: GenerateRequest) -> list[list[GenerateChunk]]:
        script = self.find(request.model)[: request.sampling.max_tokens]
        reason: FinishReason = "length" if len(script) == request.sampling.max_tokens else "stop"
        return [
            [
                _chunk(request_id, index, request, script[:end], reason if end == len(script) else None)
                for index in range(request.num_choices)
            ]
            for end in range(1, len(script) + 1)
        ]


def _chunk(
    request_id: str, index: int, request: GenerateRequest, script: Sequence[str], reason: FinishReason | None
) -> GenerateChunk:
    asked, token_id, token = request.sampling, len(script), script[-1]
    return GenerateChunk(
        request_id=request_id,
        index=index,
        text=token,
        token_ids=(token_id,),
        logprobs=() if asked.logprobs is None else (_logprob(token_id, token, asked.logprobs),),
        prompt_logprobs=_prompt_logprobs(request) if asked.prompt_logprobs and token_id == 1 else (),
        finish_reason=reason,
        prompt_tokens=len(prompt_tokens(request)),
        completion_tokens=token_id,
    )


def prompt_tokens(request: GenerateRequest) -> list[str]:
    """What a scripted model takes for the tokens of a prompt: words, or the texts 't<id>'."""
    if request.token_ids is not None:
        return [f"t{token}" for token in request.token_ids]
    texts = [request.text] if request.text is not None else [message.content for message in request.messages or ()]
    return [word for text in texts for word in (text or "").split(" ")]


def _prompt_logprobs(request: GenerateRequest) -> tuple[TokenLogprob, ...]:
    return tuple(_logprob(number, token, 0) for number, token in enumerate(prompt_tokens(request)))


def _logprob(token_id: int, token: str, num_top: int) -> TokenLogprob:
    top = tuple((token_id + place, token if not place else f"<{place}>", LOGPROB - place) for place in range(num_top))
    return TokenLogprob(token_id=token_id, token=token, logprob=LOGPROB, top=top)


class IdleSupervisor:
    """A supervisor that has no jobs."""

    def start(self) -> None:
        """Nothing begins."""

    def wake(self) -> None:
        """Nothing waits."""

    def stop(self) -> None:
        """Nothing ends."""


class IdleKeeper:
    """A keeper that has no engines."""

    def start(self) -> None:
        """Nothing begins."""

    async def stop(self) -> None:
        """Nothing ends."""


class IdleBatches:
    """Batches, of which there are none."""

    def unfinished(self) -> list[Batch]:
        """No work."""
        return []


class NoKeys:
    """Keys of projects, of which there are none."""

    def authenticate(self, key: str) -> Principal:
        """Nobody has it."""
        raise wrong_key()


class NoRefusals:
    """A log of refused requests that keeps none."""

    def note(self, *_: Any, **__: Any) -> None:
        """Nothing is written down."""


class ScriptedPlatform:
    """A base model 'base', a custom model 'tickets' in two versions, and one whose name has a slash."""

    def __init__(self, script: Sequence[str] = ("Hello", " wide", " world")) -> None:
        """A platform whose models all answer with `script`."""
        customs = [custom_model("tickets", 1), custom_model("tickets", 2)]
        self.base_models = Listed({name: base_model(name) for name in ("base", "org/base")})
        self.custom_models = Listed({model.full_name: model for model in customs})
        names = ("base", "org/base", "tickets", *(model.full_name for model in customs))
        self.endpoints = Listed({})
        self.engines = ScriptedEngines(dict.fromkeys(names, script))
        self.supervisor, self.batches, self.keys = IdleSupervisor(), IdleBatches(), NoKeys()
        self.engine_keeper = IdleKeeper()
        self.refusals = NoRefusals()

    @property
    def everywhere(self) -> Self:
        """All projects, of which there is one."""
        return self

    def of(self, project: str) -> Self:
        """The one project."""
        return self


def base_model(name: str) -> BaseModelEntry:
    """A catalogue entry of this name, for a model that does not exist."""
    return BaseModelEntry(
        name=name,
        path="/nowhere",
        source="folder",
        family="llama",
        parameters=1,
        context=128,
        licence="none",
        size_bytes=1,
        methods=("lora",),
    )


def custom_model(name: str, version: int) -> CustomModel:
    """A registered version of this name, for a model that does not exist."""
    return CustomModel(
        id=new_id("model"),
        name=name,
        version=version,
        state="active",
        base="base",
        method="lora",
        kind="lora",
        job_id=new_id("job"),
        dataset_hash="",
        artifact="",
        size_bytes=1,
        created_at=now(),
    )
