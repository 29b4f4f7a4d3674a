"""`python -m fettle.workers.engine SPEC.json`: one base model in a process of its own, served over a link."""

import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fettle.clusters.frames import AddAdapter, Generate, RemoveAdapter
from fettle.clusters.link import LinkClosed, WorkerLink
from fettle.errors import FettleError
from fettle.types.engine import EngineSpec
from fettle.types.generation import GenerateChunk, GenerateRequest
from fettle.workers.frame_loop import Do, FrameLoop, Stepping
from fettle.workers.token_frames import TokenReader, token_frames

if TYPE_CHECKING:
    from fettle.serving import EngineSettings

log = logging.getLogger(__name__)


class EngineLike(Stepping, Protocol):
    """What the worker needs of `fettle.serving.Engine`."""

    @property
    def max_length(self) -> int:
        """Tokens of prompt and answer together, at most."""

    def add(self, request_id: str, request: GenerateRequest, *, adapter: str | None, index: int) -> None:
        """Queue one choice of a request whose prompt is token ids."""

    def step(self) -> Sequence[GenerateChunk]:
        """Compute one batch; what it added to whichever requests."""

    def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter."""

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter."""


class PromptsLike(TokenReader, Protocol):
    """What the worker needs of `fettle.workers.prompts.Prompts`."""

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


class EngineWorker(FrameLoop):
    """Serves a decoder: requests come as frames, chunks of answers leave."""

    _refusal = "this model writes text: it gives no vectors and no classes"

    def __init__(self, engine: EngineLike, prompts: PromptsLike, link: WorkerLink) -> None:
        """A worker; `prompts` turns requests into tokens."""
        do: Do = {Generate: self._generate, AddAdapter: self._add_adapter, RemoveAdapter: self._remove_adapter}
        do = {**do, **token_frames(prompts, engine.max_length, link)}
        super().__init__(engine, link, do)
        self._engine, self._prompts = engine, prompts

    def _generate(self, frame: Generate) -> None:
        self._refuse_if_ending()
        request = self._prompts.tokenized(frame.request, frame.adapter)
        try:
            for index in range(request.num_choices):
                self._engine.add(frame.id, request, adapter=frame.adapter, index=index)
        except Exception:
            self._engine.abort(frame.id)
            raise
        self._open[frame.id] = request.num_choices

    def _add_adapter(self, frame: AddAdapter) -> None:
        folder = Path(frame.folder)
        self._engine.add_adapter(frame.name, folder)
        self._prompts.add_adapter(frame.name, folder)
        self._link.reply(frame.id)

    def _remove_adapter(self, frame: RemoveAdapter) -> None:
        self._engine.remove_adapter(frame.name)
        self._prompts.remove_adapter(frame.name)
        self._link.reply(frame.id)

    def _compute(self) -> None:
        chunks = self._engine.step()
        for chunk in chunks:
            if chunk.error_code:
                # Nobody waits for the other choices of a request that has failed.
                self._abort(chunk.request_id)
            elif chunk.finish_reason is not None:
                self._close(chunk.request_id)
        self._link.send_chunks(chunks)

    def _close(self, request_id: str) -> None:
        self._open[request_id] = self._open.get(request_id, 1) - 1
        if self._open[request_id] <= 0:
            del self._open[request_id]


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
    folder, settings = Path(spec.model_path), EngineSettings(**spec.options.model_dump())
    if is_encoder(folder):
        return _loaded_encoder(folder, settings, link)
    engine = Engine.load(folder, settings)
    log.info("loaded %s", spec.name)
    return EngineWorker(engine, Prompts.load(folder), link)


def _loaded_encoder(folder: Path, settings: "EngineSettings", link: WorkerLink) -> Worker:
    from fettle.models.tokenizer import Tokenizer
    from fettle.serving.encoder_engine import EncoderEngine
    from fettle.workers.encoder_engine import EncoderWorker, TextTokens

    return EncoderWorker(EncoderEngine.load(folder, settings), TextTokens(Tokenizer.load(folder)), link)


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
