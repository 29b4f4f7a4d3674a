"""The worker's end of the link to the control plane: blocking, for a loop that alternates with engine steps."""

import select
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Self

from fettle.clusters.frames import (
    Chunk,
    Chunks,
    Failed,
    FromWorker,
    Ready,
    Reply,
    ToWorker,
    Unpacker,
    packed,
    to_worker,
)
from fettle.errors import FettleError
from fettle.types.generation import GenerateChunk

_RECEIVE_BYTES = 1 << 20


class LinkClosed(ConnectionError):
    """The other end is gone; a worker has nobody left to work for."""


class WorkerLink:
    """What an engine worker hears and says.

    The loop of a worker: `for frame in link.receive(timeout=0 if engine.has_work else None)`, then one engine step,
    then `link.send_chunks(...)`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(True)
        self._unpacker = Unpacker()
        self._poll = select.poll()  # not select.select: that one refuses file descriptors over 1023
        self._poll.register(self._socket, select.POLLIN)

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """The link on an inherited file descriptor (`EngineSpec.link_fd`)."""
        return cls(socket.socket(fileno=fd))

    def receive(self, timeout: float | None = None) -> list[ToWorker]:
        """All frames that have arrived; waits up to `timeout` seconds (None: for ever) for the first bytes.

        Raises:
            LinkClosed: the control plane is gone.
        """
        frames: list[ToWorker] = []
        while not frames and self._wait(timeout):
            frames = [to_worker.decode(body) for body in self._unpacker.feed(self._read())]
        return frames

    def ready(self, info: Mapping[str, Any] | None = None) -> None:
        """Say that the model is loaded."""
        self.send(Ready(dict(info or {})))

    def reply(self, frame_id: str, value: Mapping[str, Any] | None = None) -> None:
        """Answer an AddAdapter, RemoveAdapter or Stats frame."""
        self.send(Reply(frame_id, dict(value or {})))

    def fail(self, frame_id: str, error: FettleError) -> None:
        """Say that a frame (also a Generate) could not be done; with id "", that the worker could not start."""
        self.send(Failed.of(frame_id, error))

    def send_chunks(self, chunks: Sequence[GenerateChunk]) -> None:
        """Send what one engine step made; nothing is sent for an empty step."""
        if chunks:
            self.send(Chunks([Chunk.of(chunk) for chunk in chunks]))

    def send(self, frame: FromWorker) -> None:
        """Send one frame.

        Raises:
            LinkClosed: the control plane is gone.
        """
        try:
            self._socket.sendall(packed(frame))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise LinkClosed("the control plane is gone") from error

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _wait(self, timeout: float | None) -> bool:
        return bool(self._poll.poll(None if timeout is None else timeout * 1000))

    def _read(self) -> bytes:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except ConnectionResetError as error:
            raise LinkClosed("the control plane is gone") from error
        if not data:
            raise LinkClosed("the control plane is gone")
        return data
