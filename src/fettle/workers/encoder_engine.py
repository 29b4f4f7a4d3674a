"""The loop of a worker that serves a sentence encoder: texts come as frames and leave as vectors or classes."""

from collections.abc import Sequence
from pathlib import Path

from fettle.clusters.frames import AddAdapter, Encode, RemoveAdapter
from fettle.clusters.link import WorkerLink
from fettle.data.sentences import Sentences
from fettle.errors import FettleError, InvalidInput
from fettle.models.tokenizer import Tokenizer
from fettle.serving.encoder_engine import EncoderEngine
from fettle.types.encoding import EncodeRequest
from fettle.types.tokens import TokenizeRequest
from fettle.workers.frame_loop import Do, FrameLoop
from fettle.workers.token_frames import token_frames


class TextTokens:
    """The tokens of a request's texts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Of this tokenizer."""
        self._tokenizer, self._sentences = tokenizer, Sentences(tokenizer)
        self.vocab_size, self.token_text = tokenizer.vocab_size, tokenizer.token_text

    def of(self, request: EncodeRequest) -> list[list[int]]:
        """Each text's tokens; what comes as tokens is taken as it is.

        Raises:
            InvalidInput: a text is empty or has tokens that the model does not know; all of them are named.
        """
        faults = [fault for place, given in enumerate(request.inputs) if (fault := self._fault(place, given))]
        if faults:
            raise InvalidInput("\n".join(faults[:20]), param="input")
        return [self._sentences.tokens(given) if isinstance(given, str) else list(given) for given in request.inputs]

    def tokens(self, request: TokenizeRequest, adapter: str | None) -> list[int]:
        """A text's tokens.

        Raises:
            InvalidInput: it is a conversation.
        """
        if request.text is None:
            told = f"{request.model!r} is a sentence encoder: it reads texts, not conversations"
            raise InvalidInput(told, hint="Send 'prompt' instead.", param="messages")
        return self._tokenizer.encode(request.text) if request.is_bare else self._sentences.tokens(request.text)

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of tokens; control tokens are spelled out."""
        return self._tokenizer.decode(token_ids, skip_special_tokens=False)

    def _fault(self, place: int, given: str | tuple[int, ...]) -> str:
        if not (given.strip() if isinstance(given, str) else given):
            return f"input {place} is empty; expected a text"
        wrong = [] if isinstance(given, str) else [token for token in given if not 0 <= token < self.vocab_size]
        return f"input {place} has the token {wrong[0]}; ids are 0 to {self.vocab_size - 1}" if wrong else ""


class EncoderWorker(FrameLoop):
    """Serves an encoder: texts come as frames, vectors or probabilities leave."""

    _refusal = "this model writes no text: it gives vectors and classes"

    def __init__(self, engine: EncoderEngine, tokens: TextTokens, link: WorkerLink) -> None:
        """A worker; `tokens` has those of each request's texts."""
        do: Do = {Encode: self._encode, AddAdapter: self._add_adapter, RemoveAdapter: self._remove_adapter}
        super().__init__(engine, link, {**do, **token_frames(tokens, engine.context, link)})
        self._engine, self._tokens = engine, tokens

    def _encode(self, frame: Encode) -> None:
        self._refuse_if_ending()
        self._engine.add(frame.id, frame.request, self._tokens.of(frame.request), frame.adapter)
        self._open[frame.id] = 1

    def _add_adapter(self, frame: AddAdapter) -> None:
        self._engine.add_adapter(frame.name, Path(frame.folder))
        self._link.reply(frame.id)

    def _remove_adapter(self, frame: RemoveAdapter) -> None:
        self._engine.remove_adapter(frame.name)
        self._link.reply(frame.id)

    def _compute(self) -> None:
        for request_id, ended in self._engine.step():
            self._open.pop(request_id, None)
            if isinstance(ended, FettleError):
                self._link.fail(request_id, ended)
            else:
                self._link.reply(request_id, ended.model_dump())
