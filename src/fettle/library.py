"""Fettle in Python: `fettle.tune(...)`, `fettle.load(name)`, `model.generate(...)`; engines run in this process."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fettle.clusters.frames import error_from
from fettle.errors import InvalidInput, NotFound
from fettle.services.engines import engine_options
from fettle.services.platform import Platform
from fettle.services.sweep_grid import grid_specs
from fettle.serving import Engine, EngineSettings
from fettle.settings import load_settings
from fettle.types.encoder import ENCODER_FAMILIES
from fettle.types.engine import EngineOptions
from fettle.types.generation import GenerateChunk, GenerateRequest, Message, SamplingParams
from fettle.types.ids import new_id
from fettle.types.resources import TuningJob
from fettle.types.sweeps import SweepResult
from fettle.types.tuning import TuningEvent, TuningSpec
from fettle.workers.prompts import Prompts

Prompt = str | Sequence[Message | Mapping[str, str]]


def tune(
    file: str | Path,
    *,
    name: str,
    base: str = "pocket",
    method: str = "lora",
    validation: str | Path | None = None,
    on_event: Callable[[TuningEvent], None] | None = None,
    **settings: Any,
) -> "Model":
    """Tune a base model on a file of examples; the new version of the custom model `name`.

    Args:
        file: JSONL, also .gz and .zst.
        name: of the custom model.
        base: base model.
        method: what is trained.
        validation: file of held-out examples; else a share of `file` is held out.
        on_event: is given every step's and every validation's measurements.
        settings: hyperparameters (epochs=5) and settings of the adapter (rank=16).

    Raises:
        FettleError: some input cannot be used (all faults are named), or training failed.
    """
    spec = TuningSpec.from_settings(settings, base=base, method=method, name=name)
    with Platform(load_settings()) as platform:
        if platform.base_models.get(base).family in ENCODER_FAMILIES:
            raise _writes_nothing(base)
        job = platform.tuning_jobs.create(spec, Path(file), Path(validation) if validation else None)
        model = platform.tuning_jobs.run(job.id, on_event or (lambda _: None))
    return load(model.full_name)


def sweep(
    file: str | Path,
    *,
    name: str,
    grid: Mapping[str, Sequence[Any]],
    seeds: int = 1,
    base: str = "pocket",
    method: str = "lora",
    validation: str | Path | None = None,
    keep_all: bool = False,
    on_event: Callable[[TuningJob, TuningEvent], None] | None = None,
    **settings: Any,
) -> SweepResult:
    """Tune with every combination of settings in one process, and compare; the best is the custom model `name`.

    Args:
        file: JSONL, also .gz and .zst.
        name: of the custom model.
        grid: values by setting, named as for `tune`: {"learning_rate": [1e-3, 4e-3], "rank": [8, 32]}.
        seeds: runs of every combination, each with another seed.
        base: base model.
        method: what is trained.
        validation: file of held-out examples; else a share of `file` is held out.
        keep_all: register every run; the best one is the newest version.
        on_event: is given every job's measurements.
        settings: what all runs have in common, as for `tune`.

    Raises:
        FettleError: some input cannot be used (all faults are named), or all runs have failed.
    """
    specs = grid_specs(settings, grid, seeds=seeds, base=base, method=method, name=name)
    with Platform(load_settings()) as platform:
        sweep_id = platform.sweeps.create_all(specs, Path(file), Path(validation) if validation else None)
        return platform.sweeps.run_all(sweep_id, on_event or (lambda _job, _event: None), keep_all=keep_all)


def load(name: str) -> "Model":
    """A custom model (`name` is the newest version, `name:2` that one) or a base model, ready to answer.

    Models on the same base share its weights.

    Raises:
        NotFound: there is no such model.
        UnsupportedModel: its files cannot be loaded.
    """
    settings = load_settings()
    with Platform(settings) as platform:
        found = platform.engines.find(name)
        if found.is_encoder:
            raise _writes_nothing(name)
        engine = _engine(found.model_path, engine_options(settings), settings.threads)
        if found.adapter and found.adapter_path:
            engine.add_adapter(found.adapter, found.adapter_path)
        return Model(_pinned(platform, name), engine, found.adapter)


class Model:
    """A model that answers in this process; several may be used at once, also from several threads."""

    def __init__(self, name: str, engine: "SharedEngine", adapter: str | None) -> None:
        """The model `name`: an adapter of an engine, or its base."""
        self.name = name
        self._engine, self._adapter = engine, adapter

    def __repr__(self) -> str:
        return f"fettle.Model({self.name!r})"

    def generate(self, prompt: Prompt, **sampling: Any) -> str:
        """The whole answer to a text or to messages.

        Args:
            prompt: a text (one message of the user's), or messages with role and content.
            sampling: fields of SamplingParams; greedy unless a temperature is given.

        Raises:
            InvalidInput: the prompt or a sampling value cannot be used.
        """
        return "".join(self.stream(prompt, **sampling))

    def stream(self, prompt: Prompt, **sampling: Any) -> Iterator[str]:
        """The answer in pieces, as they are made; see `generate`."""
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        request = GenerateRequest.checked(
            {
                "model": self.name,
                "messages": messages,
                "sampling": SamplingParams.checked({"temperature": 0, **sampling}),
            }
        )
        return (chunk.text for chunk in self._engine.answer(request, self._adapter) if chunk.text)


class SharedEngine:
    """An engine whose steps serve whoever waits: each answer takes the others' chunks along."""

    def __init__(self, folder: Path, options: EngineOptions) -> None:
        """The engine of the model in `folder`."""
        self._engine = Engine.load(folder, EngineSettings(**options.model_dump()))
        self._prompts = Prompts.load(folder)
        self._adapters: set[str] = set()
        self._open: dict[str, deque[GenerateChunk]] = {}
        self._lock = threading.Lock()

    def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter unless it is there."""
        with self._lock:
            if name not in self._adapters:
                self._engine.add_adapter(name, folder)
                self._prompts.add_adapter(name, folder)
                self._adapters.add(name)

    def answer(self, request: GenerateRequest, adapter: str | None) -> Iterator[GenerateChunk]:
        """The chunks of an answer; the request is queued at once, and forgotten when the iterator is closed."""
        request_id = new_id("req")
        with self._lock:
            self._engine.add(request_id, self._prompts.tokenized(request, adapter), adapter=adapter, index=0)
            self._open[request_id] = deque()
        return self._chunks(request_id)

    def _chunks(self, request_id: str) -> Iterator[GenerateChunk]:
        is_finished = False
        try:
            while not is_finished:
                chunk = self._next(request_id)
                is_finished = chunk.finish_reason is not None
                if chunk.error_code:
                    raise error_from({"code": chunk.error_code, "message": chunk.error})
                yield chunk
        finally:
            with self._lock:
                if not is_finished:
                    self._engine.abort(request_id)
                del self._open[request_id]

    def _next(self, request_id: str) -> GenerateChunk:
        while True:
            with self._lock:
                if self._open[request_id]:
                    return self._open[request_id].popleft()
                for chunk in self._engine.step():
                    if chunk.request_id in self._open:
                        self._open[chunk.request_id].append(chunk)


def _writes_nothing(name: str) -> InvalidInput:
    hint = "Use `fettle tune`, `fettle classify`, or the server's /v1/classify and /v1/embeddings."
    return InvalidInput(f"{name!r} is a sentence encoder: it writes no text", hint=hint, param="model")


def _pinned(platform: Platform, name: str) -> str:
    """The name that goes on to mean this version when there are newer ones."""
    try:
        return platform.custom_models.get(name).full_name
    except NotFound:
        return name


@cache
def _engine(folder: Path, options: EngineOptions, threads: int) -> SharedEngine:
    import torch

    torch.set_num_threads(threads)
    return SharedEngine(folder, options)
