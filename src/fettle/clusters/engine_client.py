"""The control plane's end of the link to an engine: asyncio, many requests at once."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from msgspec import MsgspecError

from fettle.clusters.frames import (
    Abort,
    AddAdapter,
    Chunks,
    Close,
    Detokenize,
    Encode,
    Failed,
    FromWorker,
    Generate,
    Ready,
    RemoveAdapter,
    Reply,
    Stats,
    Tokenize,
    ToWorker,
    Unpacker,
    error_from,
    from_worker,
    packed,
)
from fettle.errors import Ending, FettleError, Unavailable
from fettle.types.encoding import Encoded, EncodeRequest
from fettle.types.generation import GenerateChunk, GenerateRequest
from fettle.types.ids import new_id
from fettle.types.tokens import DetokenizeRequest, Tokenized, TokenizeRequest

log = logging.getLogger(__name__)
_READ_BYTES = 1 << 18


class EngineClient:
    """One engine worker, as the event loop sees it.

    All coroutines belong to the loop in which `connect` was awaited. When the worker dies, everything that waits for
    it raises Unavailable, and so does whatever is asked later.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, why_dead: Callable[[], str]) -> None:
        self._reader, self._writer, self._why_dead = reader, writer, why_dead
        self._unpacker = Unpacker()
        self._streams: dict[str, asyncio.Queue[GenerateChunk | FettleError]] = {}
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        # Nobody may be waiting for it when it fails; then its error is told by whoever asks next.
        self._ready.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._death: FettleError | None = None
        self._is_closing = False
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def connect(cls, connection: socket.socket, why_dead: Callable[[], str] = lambda: "") -> Self:
        """A client on its end of the socket pair; `why_dead` tells the worker's last words once it is gone."""
        reader, writer = await asyncio.open_connection(sock=connection)
        return cls(reader, writer, why_dead)

    @property
    def is_alive(self) -> bool:
        """Whether it takes requests (perhaps it still loads)."""
        has_failed = self._ready.done() and self._ready.exception() is not None
        return self._death is None and not self._is_closing and not has_failed

    @property
    def is_ready(self) -> bool:
        """Whether the model is loaded and the worker alive."""
        return self.is_alive and self._ready.done()

    @property
    def num_running(self) -> int:
        """Requests that are being answered."""
        return len(self._streams)

    async def ready(self) -> dict[str, Any]:
        """Wait until the model is loaded; what the worker says about it.

        Raises:
            Ending: it was closed before.
            FettleError: it could not be loaded.
        """
        return await asyncio.shield(self._ready)

    async def generate(
        self, request: GenerateRequest, adapter: str | None = None
    ) -> AsyncGenerator[GenerateChunk, None]:
        """The chunks of all choices as they are made; the engine stops when the iterator is closed or cancelled.

        Raises:
            Ending: it is closing, and has not begun with this.
            Unavailable: the worker died.
            FettleError: what the engine says is wrong with the request.
        """
        request_id, unfinished = new_id("req"), set(range(request.num_choices))
        stream = self._streams[request_id] = asyncio.Queue()
        try:
            await self._send(Generate(request_id, request.model_dump(exclude_unset=True), adapter))
            while unfinished:
                chunk = await stream.get()
                if isinstance(chunk, FettleError):
                    unfinished.clear()
                    raise chunk
                if chunk.finish_reason is not None:
                    unfinished.discard(chunk.index)
                yield chunk
        finally:
            del self._streams[request_id]
            if unfinished and self._death is None:
                self._writer.write(packed(Abort(request_id)))

    async def encode(self, request: EncodeRequest, adapter: str | None = None) -> Encoded:
        """What a sentence encoder makes of texts.

        Raises:
            Ending: it is closing, and has not begun with this.
            Unavailable: the worker died.
            FettleError: what the engine says is wrong with the request.
        """
        frame = Encode(new_id("req"), request.model_dump(), adapter)
        try:
            return Encoded.model_validate(await self._ask(frame))
        except asyncio.CancelledError:
            if self._death is None:
                self._writer.write(packed(Abort(frame.id)))
            raise

    async def tokenize(self, request: TokenizeRequest, adapter: str | None = None) -> Tokenized:
        """A prompt's tokens.

        Raises:
            Ending: it is closing, and has not begun with this.
            Unavailable: the worker died.
            FettleError: what the engine says is wrong with the request.
        """
        frame = Tokenize(new_id("req"), request.model_dump(), adapter)
        return Tokenized.model_validate(await self._ask(frame))

    async def detokenize(self, request: DetokenizeRequest) -> str:
        """The text of tokens; raises as `tokenize`."""
        return str((await self._ask(Detokenize(new_id("req"), list(request.token_ids))))["text"])

    async def add_adapter(self, name: str, folder: Path) -> dict[str, Any]:
        """Load an adapter; requests name it afterwards."""
        return await self._ask(AddAdapter(new_id("frame"), name, str(folder)))

    async def remove_adapter(self, name: str) -> dict[str, Any]:
        """Forget an adapter."""
        return await self._ask(RemoveAdapter(new_id("frame"), name))

    async def stats(self) -> dict[str, Any]:
        """The engine's counters, by name."""
        return await self._ask(Stats(new_id("frame")))

    async def close(self) -> None:
        """Let it finish what runs and end; returns when the worker has hung up."""
        if self.is_alive:
            self._is_closing = True
            self._writer.write(packed(Close()))
        await self.ended()

    async def hang_up(self) -> None:
        """Leave at once; whatever runs is lost."""
        self._is_closing = True
        self._writer.close()
        await self.ended()

    async def ended(self) -> None:
        """Wait until the worker has hung up, whatever the reason."""
        await asyncio.shield(self._listener)

    async def _ask(self, frame: Encode | Tokenize | Detokenize | AddAdapter | RemoveAdapter | Stats) -> dict[str, Any]:
        reply = self._replies[frame.id] = asyncio.get_running_loop().create_future()
        try:
            await self._send(frame)
            value: dict[str, Any] = await reply
            return value
        finally:
            del self._replies[frame.id]

    async def _send(self, frame: ToWorker) -> None:
        if self._is_closing:
            raise Ending("the engine is shutting down")
        if self._death is not None:
            raise self._death
        self._writer.write(packed(frame))
        with suppress(ConnectionError):  # the listener sees the same end and tells it to all who wait
            await self._writer.drain()

    async def _listen(self) -> None:
        try:
            while data := await self._reader.read(_READ_BYTES):
                for body in self._unpacker.feed(data):
                    self._handle(from_worker.decode(body))
        except (ConnectionError, ValueError, MsgspecError) as error:
            log.error("the link to an engine broke", exc_info=error)
        finally:
            await self._end()

    def _handle(self, frame: FromWorker) -> None:
        match frame:
            case Chunks(chunks):
                for chunk in chunks:
                    if stream := self._streams.get(chunk.request_id):
                        told = {"code": chunk.error_code, "message": chunk.error}
                        stream.put_nowait(error_from(told) if chunk.error_code else chunk.record())
            case Reply(frame_id, value):
                if (reply := self._replies.get(frame_id)) and not reply.done():
                    reply.set_result(value)
            case Ready(info):
                if not self._ready.done():
                    self._ready.set_result(info)
            case Failed():
                self._fail(frame.id, frame.error())

    def _fail(self, frame_id: str, error: FettleError) -> None:
        if stream := self._streams.get(frame_id):
            stream.put_nowait(error)
        elif (reply := self._replies.get(frame_id)) and not reply.done():
            reply.set_exception(error)
        elif not frame_id and not self._ready.done():
            self._ready.set_exception(error)

    async def _end(self) -> None:
        words = await asyncio.to_thread(self._why_dead)
        self._death = Unavailable("the engine has ended" + (f"; its last words:\n{words}" if words else ""))
        self._writer.close()
        if not self._ready.done():
            self._ready.set_exception(Ending("the engine was ended") if self._is_closing else self._death)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(self._death)
        for stream in self._streams.values():
            stream.put_nowait(self._death)
