"""`python -m fettle.workers.engine SPEC.json`: one base model in a process of its own, served over a link."""

import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from fettle.clusters.frames import Abort, AddAdapter, Close, Generate, RemoveAdapter, Stats, ToWorker
from fettle.clusters.link import LinkClosed, WorkerLink
from fettle.errors import FettleError, Unavailable
from fettle.types.engine import EngineSpec
from fettle.types.generation import GenerateChunk, GenerateRequest

log = logging.getLogger(__name__)
# How soon a worker without work notices SIGTERM; frames wake it at once.
_IDLE_SECONDS = 0.25


class EngineLike(Protocol):
    """What the loop needs of `fettle.serving.Engine`."""

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""

    def add(self, request_id: str, request: GenerateRequest, *, adapter: str | None, index: int) -> None:
        """Queue one choice of a request whose prompt is token ids."""

    def abort(self, request_id: str) -> None:
        """Forget all choices of a request."""

    def step(self) -> Sequence[GenerateChunk]:
        """Compute one batch; what it added to whichever requests."""

    def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter."""

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter."""

    def stats(self) -> dict[str, Any]:
        """Counters by name."""


class PromptsLike(Protocol):
    """What the loop needs of `fettle.workers.prompts.Prompts`."""

    def tokenized(self, request: GenerateRequest, adapter: str | None) -> GenerateRequest:
        """The request with token ids for a prompt, whatever form it came in."""

    def add_adapter(self, name: str, folder: Path) -> None:
        """Learn in which form an adapter's prompts were in training."""

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter."""


class Worker(Protocol):
    """What serves a model until it is told to end."""

    def end(self) -> None:
        """Take nothing new; the loop ends when what runs is done."""

    def run(self) -> None:
        """Serve."""


class EngineWorker:
    """Alternates between frames and engine steps until told to end."""

    def __init__(self, engine: EngineLike, prompts: PromptsLike, link: WorkerLink) -> None:
        """A worker.

        Args:
            engine: only the thread that calls `run` touches it.
            prompts: turns requests into tokens.
            link: to the control plane.
        """
        self._engine, self._prompts, self._link = engine, prompts, link
        self._open: dict[str, int] = {}
        self._is_ending = False
        self._do: dict[type, Callable[[Any], None]] = {
            Generate: self._generate,
            Abort: self._abort,
            AddAdapter: self._add_adapter,
            RemoveAdapter: self._remove_adapter,
            Stats: self._stats,
            Close: lambda _: self.end(),
        }

    def end(self) -> None:
        """Take nothing new; the loop ends when what runs is done."""
        self._is_ending = True

    def run(self) -> None:
        """Serve.

        Raises:
            LinkClosed: the control plane is gone.
        """
        while not self._is_ending or self._engine.has_work:
            for frame in self._link.receive(timeout=0 if self._engine.has_work else _IDLE_SECONDS):
                self._handle(frame)
            if self._engine.has_work:
                self._step()

    def _handle(self, frame: ToWorker) -> None:
        frame_id = getattr(frame, "id", "")
        try:
            self._do[type(frame)](frame)
        except LinkClosed:
            raise
        except FettleError as error:
            self._link.fail(frame_id, error)
        except Exception as error:  # noqa: BLE001 - one bad request must not end all others
            self._link.fail(frame_id, _bug(error))

    def _generate(self, frame: Generate) -> None:
        if self._is_ending:
            raise Unavailable("the engine is shutting down")
        request = self._prompts.tokenized(frame.request, frame.adapter)
        try:
            for index in range(request.num_choices):
                self._engine.add(frame.id, request, adapter=frame.adapter, index=index)
        except Exception:
            self._engine.abort(frame.id)
            raise
        self._open[frame.id] = request.num_choices

    def _abort(self, frame: Abort) -> None:
        if self._open.pop(frame.id, 0):
            self._engine.abort(frame.id)

    def _add_adapter(self, frame: AddAdapter) -> None:
        folder = Path(frame.folder)
        self._engine.add_adapter(frame.name, folder)
        self._prompts.add_adapter(frame.name, folder)
        self._link.reply(frame.id)

    def _remove_adapter(self, frame: RemoveAdapter) -> None:
        self._engine.remove_adapter(frame.name)
        self._prompts.remove_adapter(frame.name)
        self._link.reply(frame.id)

    def _stats(self, frame: Stats) -> None:
        self._link.reply(frame.id, self._engine.stats())

    def _step(self) -> None:
        try:
            chunks = self._engine.step()
        except Exception as error:  # noqa: BLE001 - whose request it was is unknown: all of them are told
            self._give_up(_bug(error) if not isinstance(error, FettleError) else error)
            return
        for chunk in chunks:
            if chunk.error_code:
                # Nobody waits for the other choices of a request that has failed.
                self._abort(Abort(chunk.request_id))
            elif chunk.finish_reason is not None:
                self._close(chunk.request_id)
        self._link.send_chunks(chunks)

    def _close(self, request_id: str) -> None:
        self._open[request_id] = self._open.get(request_id, 1) - 1
        if self._open[request_id] <= 0:
            del self._open[request_id]

    def _give_up(self, error: FettleError) -> None:
        for request_id in list(self._open):
            self._engine.abort(request_id)
            self._link.fail(request_id, error)
        self._open.clear()


def _bug(error: Exception) -> FettleError:
    log.error("unexpected error in the engine", exc_info=error)
    return FettleError("the engine failed on this request; that is a bug, and its log says where")


def main(arguments: Sequence[str]) -> int:
    """Serve what the spec names until told to end; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    spec = EngineSpec.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    _end_with_the_parent(spec.link_fd)
    link = WorkerLink.from_fd(spec.link_fd)
    try:
        return _serve(spec, link)
    except LinkClosed:
        log.info("the control plane is gone; ending")
        return 0


def _serve(spec: EngineSpec, link: WorkerLink) -> int:
    try:
        worker = _loaded(spec, link)
    except FettleError as error:
        log.error("could not load %s: %s", spec.name, error)
        link.fail("", error)
        return error.exit_code
    signal.signal(signal.SIGTERM, lambda *_: worker.end())
    # Ctrl-C in a terminal reaches the whole group; it is the control plane that decides when engines end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link.ready({"name": spec.name, "pid": os.getpid()})
    worker.run()
    return 0


def _loaded(spec: EngineSpec, link: WorkerLink) -> Worker:
    import torch

    from fettle.models.encoder_files import is_encoder
    from fettle.serving import Engine, EngineSettings
    from fettle.workers.prompts import Prompts

    torch.set_num_threads(spec.threads)
    folder = Path(spec.model_path)
    if is_encoder(folder):
        return _loaded_encoder(folder, link)
    engine = Engine.load(folder, EngineSettings(dtype=spec.dtype))
    log.info("loaded %s", spec.name)
    return EngineWorker(engine, Prompts.load(folder), link)


def _loaded_encoder(folder: Path, link: WorkerLink) -> Worker:
    from fettle.models.tokenizer import Tokenizer
    from fettle.serving.encoder_engine import EncoderEngine
    from fettle.workers.encoder_engine import EncoderWorker, TextTokens

    return EncoderWorker(EncoderEngine.load(folder), TextTokens(Tokenizer.load(folder)), link)


def _end_with_the_parent(fd: int) -> None:
    """End this process when the other end of the link is closed, also in the middle of loading or of a long step."""

    def watch() -> None:
        poll = select.poll()
        poll.register(fd, getattr(select, "POLLRDHUP", 0))
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, daemon=True, name="parent").start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
