"""The loop of a worker that serves a sentence encoder: texts come as frames and leave as vectors or classes."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fettle.clusters.frames import Abort, AddAdapter, Close, Encode, RemoveAdapter, Stats, ToWorker
from fettle.clusters.link import LinkClosed, WorkerLink
from fettle.data.sentences import Sentences
from fettle.errors import FettleError, InvalidInput, Unavailable
from fettle.models.tokenizer import Tokenizer
from fettle.serving.encoder_engine import EncoderEngine
from fettle.types.encoding import EncodeRequest

log = logging.getLogger(__name__)
# How soon a worker without work notices SIGTERM; frames wake it at once.
_IDLE_SECONDS = 0.25


class TextTokens:
    """The tokens of a request's texts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Of this tokenizer."""
        self._sentences, self._vocab_size = Sentences(tokenizer), tokenizer.vocab_size

    def of(self, request: EncodeRequest) -> list[list[int]]:
        """Each text's tokens; what comes as tokens is taken as it is.

        Raises:
            InvalidInput: a text is empty or has tokens that the model does not know; all of them are named.
        """
        faults = [fault for place, given in enumerate(request.inputs) if (fault := self._fault(place, given))]
        if faults:
            raise InvalidInput("\n".join(faults[:20]), param="input")
        return [self._sentences.tokens(given) if isinstance(given, str) else list(given) for given in request.inputs]

    def _fault(self, place: int, given: str | tuple[int, ...]) -> str:
        if not (given.strip() if isinstance(given, str) else given):
            return f"input {place} is empty; expected a text"
        wrong = [] if isinstance(given, str) else [token for token in given if not 0 <= token < self._vocab_size]
        return f"input {place} has the token {wrong[0]}; ids are 0 to {self._vocab_size - 1}" if wrong else ""


class EncoderWorker:
    """Alternates between frames and steps of an encoder's engine until told to end."""

    def __init__(self, engine: EncoderEngine, tokens: TextTokens, link: WorkerLink) -> None:
        """A worker; only the thread that calls `run` touches the engine."""
        self._engine, self._tokens, self._link = engine, tokens, link
        self._open: set[str] = set()
        self._is_ending = False
        self._do: dict[type, Callable[[Any], None]] = {
            Encode: self._encode,
            Abort: lambda frame: self._engine.abort(frame.id),
            AddAdapter: self._add_adapter,
            RemoveAdapter: self._remove_adapter,
            Stats: lambda frame: self._link.reply(frame.id, self._engine.stats()),
            Close: lambda _: self.end(),
        }

    def end(self) -> None:
        """Take nothing new; the loop ends when what waits is done."""
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
            if type(frame) not in self._do:
                raise InvalidInput("this model writes no text: it gives vectors and classes", param="model")
            self._do[type(frame)](frame)
        except LinkClosed:
            raise
        except FettleError as error:
            self._link.fail(frame_id, error)
        except Exception as error:  # noqa: BLE001 - one bad request must not end all others
            self._link.fail(frame_id, _bug(error))

    def _encode(self, frame: Encode) -> None:
        if self._is_ending:
            raise Unavailable("the engine is shutting down")
        request = frame.request
        self._engine.add(frame.id, request, self._tokens.of(request), frame.adapter)
        self._open.add(frame.id)

    def _add_adapter(self, frame: AddAdapter) -> None:
        self._engine.add_adapter(frame.name, Path(frame.folder))
        self._link.reply(frame.id)

    def _remove_adapter(self, frame: RemoveAdapter) -> None:
        self._engine.remove_adapter(frame.name)
        self._link.reply(frame.id)

    def _step(self) -> None:
        try:
            done = self._engine.step()
        except Exception as error:  # noqa: BLE001 - whose text it was is unknown: all of them are told
            self._give_up(error if isinstance(error, FettleError) else _bug(error))
            return
        for request_id, encoded in done:
            self._open.discard(request_id)
            self._link.reply(request_id, encoded.model_dump())

    def _give_up(self, error: FettleError) -> None:
        for request_id in self._open:
            self._engine.abort(request_id)
            self._link.fail(request_id, error)
        self._open.clear()


def _bug(error: Exception) -> FettleError:
    log.error("unexpected error in the engine", exc_info=error)
    return FettleError("the engine failed on this request; that is a bug, and its log says where")
