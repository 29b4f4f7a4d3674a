"""What every worker that serves a model does: take frames, take steps, and keep one request's failure to itself."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fettle.clusters.frames import Abort, Close, Stats, ToWorker
from fettle.clusters.link import LinkClosed, WorkerLink
from fettle.errors import FettleError, InvalidInput, Unavailable

log = logging.getLogger(__name__)
# How soon a worker without work notices SIGTERM; frames wake it at once.
_IDLE_SECONDS = 0.25


#: What is done with a frame, by its type.
Do = Mapping[type, Callable[[Any], None]]


class Stepping(Protocol):
    """What the loop needs of any engine."""

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""

    def abort(self, request_id: str) -> None:
        """Forget a request."""

    def stats(self) -> dict[str, Any]:
        """Counters by name."""


class FrameLoop(ABC):
    """Alternates between frames and engine steps until told to end; only the thread that calls `run` does either."""

    def __init__(self, engine: Stepping, link: WorkerLink, do: Do) -> None:
        """A loop.

        Args:
            engine: whose steps are taken.
            link: to the control plane.
            do: what is done with a frame, by its type, besides those that every worker takes.
        """
        self._stepping, self._link = engine, link
        #: How many answers are open, by request.
        self._open: dict[str, int] = {}
        self._is_ending = False
        self._do: dict[type, Callable[[Any], None]] = {
            Abort: lambda frame: self._abort(frame.id),
            Stats: lambda frame: link.reply(frame.id, engine.stats()),
            Close: lambda _: self.end(),
            **do,
        }

    @abstractmethod
    def _compute(self) -> None:
        """Take one step and send what came of it."""

    @property
    @abstractmethod
    def _refusal(self) -> str:
        """What to say to a frame that this engine has no answer to."""

    def end(self) -> None:
        """Take nothing new; the loop ends when what runs is done."""
        self._is_ending = True

    def run(self) -> None:
        """Serve.

        Raises:
            LinkClosed: the control plane is gone.
        """
        while not self._is_ending or self._stepping.has_work:
            for frame in self._link.receive(timeout=0 if self._stepping.has_work else _IDLE_SECONDS):
                self._handle(frame)
            if self._stepping.has_work:
                self._step()

    def _refuse_if_ending(self) -> None:
        if self._is_ending:
            raise Unavailable("the engine is shutting down")

    def _handle(self, frame: ToWorker) -> None:
        frame_id = getattr(frame, "id", "")
        try:
            if type(frame) not in self._do:
                raise InvalidInput(self._refusal, param="model")
            self._do[type(frame)](frame)
        except LinkClosed:
            raise
        except FettleError as error:
            self._link.fail(frame_id, error)
        except Exception as error:  # noqa: BLE001 - one bad request must not end all others
            self._link.fail(frame_id, _bug(error))

    def _step(self) -> None:
        try:
            self._compute()
        except LinkClosed:
            raise
        except Exception as error:  # noqa: BLE001 - whose request it was is unknown: all of them are told
            self._give_up(error if isinstance(error, FettleError) else _bug(error))

    def _abort(self, request_id: str) -> None:
        if self._open.pop(request_id, 0):
            self._stepping.abort(request_id)

    def _give_up(self, error: FettleError) -> None:
        for request_id in list(self._open):
            self._stepping.abort(request_id)
            self._link.fail(request_id, error)
        self._open.clear()


def _bug(error: Exception) -> FettleError:
    log.error("unexpected error in the engine", exc_info=error)
    return FettleError("the engine failed on this request; that is a bug, and its log says where")
