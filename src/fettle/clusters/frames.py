"""What travels on the link between the control plane and an engine: msgpack frames with their length in front."""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from fettle.errors import FettleError, InvalidInput, all_errors
from fettle.types.encoding import EncodeRequest
from fettle.types.generation import GenerateChunk, GenerateRequest, TokenLogprob
from fettle.types.tokens import TokenizeRequest

MAX_FRAME_BYTES = 256 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class Generate(msgspec.Struct, tag=True):
    """Start a request; `adapter` is a name given by AddAdapter, None is the base model."""

    id: str
    fields: dict[str, Any]
    adapter: str | None = None

    @property
    def request(self) -> GenerateRequest:
        """The request as a checked record."""
        return GenerateRequest.model_validate(self.fields)


class Encode(msgspec.Struct, tag=True):
    """Make vectors or classes of texts; `adapter` as for Generate."""

    id: str
    fields: dict[str, Any]
    adapter: str | None = None

    @property
    def request(self) -> EncodeRequest:
        """The request as a checked record."""
        return EncodeRequest.model_validate(self.fields)


class Tokenize(msgspec.Struct, tag=True):
    """Tell a prompt's tokens; `adapter` as for Generate."""

    id: str
    fields: dict[str, Any]
    adapter: str | None = None

    @property
    def request(self) -> TokenizeRequest:
        """The request as a checked record."""
        return TokenizeRequest.model_validate(self.fields)


class Detokenize(msgspec.Struct, tag=True):
    """Tell the text of tokens."""

    id: str
    token_ids: list[int]


class Abort(msgspec.Struct, tag=True):
    """Stop a request; nobody listens to it any more."""

    id: str


class AddAdapter(msgspec.Struct, tag=True):
    """Load the adapter in `folder` and call it `name`."""

    id: str
    name: str
    folder: str


class RemoveAdapter(msgspec.Struct, tag=True):
    """Forget an adapter."""

    id: str
    name: str


class Stats(msgspec.Struct, tag=True):
    """Ask for the engine's counters."""

    id: str


class Close(msgspec.Struct, tag=True):
    """Finish what runs, take nothing new, end."""


class Ready(msgspec.Struct, tag=True):
    """The model is loaded."""

    info: dict[str, Any] = {}


class Reply(msgspec.Struct, tag=True):
    """The answer to Encode, Tokenize, Detokenize, AddAdapter, RemoveAdapter or Stats."""

    id: str
    value: dict[str, Any] = {}


class Failed(msgspec.Struct, tag=True):
    """A frame could not be done (or, with id "", the worker could not start)."""

    id: str
    code: str
    message: str
    hint: str = ""
    param: str = ""

    @classmethod
    def of(cls, frame_id: str, error: FettleError) -> "Failed":
        """The frame that carries `error`."""
        return cls(frame_id, error.code, error.message, error.hint, error.param)

    def error(self) -> FettleError:
        """The error it carries, of the class it had."""
        return error_from(msgspec.structs.asdict(self))


class Logprob(msgspec.Struct, array_like=True):
    """A TokenLogprob on the wire."""

    token_id: int
    token: str
    logprob: float
    top: list[tuple[int, str, float]] = []


class Chunk(msgspec.Struct, array_like=True, omit_defaults=True):
    """A GenerateChunk on the wire; the fields in the same order."""

    request_id: str
    index: int = 0
    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    prompt_logprobs: tuple[Logprob, ...] = ()
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    error_code: str = ""
    error: str = ""

    @classmethod
    def of(cls, chunk: GenerateChunk) -> "Chunk":
        """What goes on the wire for `chunk`."""
        fields = dict(chunk.__dict__)
        fields["logprobs"] = _packed(chunk.logprobs)
        fields["prompt_logprobs"] = _packed(chunk.prompt_logprobs)
        return cls(**fields)

    def record(self) -> GenerateChunk:
        """The record again; built without validation, as it was validated where it was made."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["logprobs"] = _unpacked(self.logprobs)
        fields["prompt_logprobs"] = _unpacked(self.prompt_logprobs)
        return GenerateChunk.model_construct(**fields)


class Chunks(msgspec.Struct, tag=True):
    """What one step of the engine made, for all its requests."""

    chunks: list[Chunk]


ToWorker = Generate | Encode | Tokenize | Detokenize | Abort | AddAdapter | RemoveAdapter | Stats | Close
FromWorker = Ready | Reply | Failed | Chunks

to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_encoder = msgspec.msgpack.Encoder()


def packed(frame: ToWorker | FromWorker) -> bytes:
    """The bytes of a frame, its length in front.

    Raises:
        InvalidInput: a client has sent a number that no machine can hold, for example as a token's id.
    """
    try:
        body = _encoder.encode(frame)
    except OverflowError as error:
        raise InvalidInput("a number in the request has more than 64 bits", hint="Send a smaller one.") from error
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Turns bytes as they arrive into whole frame bodies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete with `data`; what is left over waits for more."""
        self._buffer += data
        while (body := self._next()) is not None:
            yield body

    def _next(self) -> bytes | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {length} bytes: the link is out of step")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return body


def error_from(fields: Mapping[str, Any]) -> FettleError:
    """The error that a worker told by `code`, `message`, `hint` and `param`."""
    cls = all_errors().get(str(fields.get("code", "")), FettleError)
    message, hint, param = (str(fields.get(name) or "") for name in ("message", "hint", "param"))
    # Not cls(...): subclasses may take other arguments, and what crosses the border is already told in full.
    error = cls.__new__(cls)
    FettleError.__init__(error, message, hint=hint, param=param)
    return error


def _packed(logprobs: tuple[TokenLogprob, ...]) -> tuple[Logprob, ...]:
    return tuple(Logprob(one.token_id, one.token, one.logprob, list(one.top)) for one in logprobs)


def _unpacked(logprobs: tuple[Logprob, ...]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob.model_construct(token_id=one.token_id, token=one.token, logprob=one.logprob, top=tuple(one.top))
        for one in logprobs
    )
