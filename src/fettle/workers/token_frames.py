"""What every worker says of its model's tokens, while nothing is computed."""

from collections.abc import Sequence
from typing import Protocol

from fettle.clusters.frames import Detokenize, Tokenize
from fettle.clusters.link import WorkerLink
from fettle.errors import InvalidInput
from fettle.types.tokens import Tokenized, TokenizeRequest
from fettle.workers.frame_loop import Do


class TokenReader(Protocol):
    """What knows a model's tokens."""

    @property
    def vocab_size(self) -> int:
        """Number of ids."""

    def tokens(self, request: TokenizeRequest, adapter: str | None) -> list[int]:
        """A prompt's tokens, as the model gets them; an adapter may have been tuned on another form."""

    def token_text(self, token_id: int) -> str:
        """A token's text."""

    def text(self, token_ids: Sequence[int]) -> str:
        """The text of several; control tokens are spelled out."""


def token_frames(reader: TokenReader, max_length: int, link: WorkerLink) -> Do:
    """What is done with the frames that ask for tokens.

    Args:
        reader: knows the tokens.
        max_length: tokens of prompt and answer together, at most.
        link: takes the replies.
    """

    def tokenize(frame: Tokenize) -> None:
        ids = reader.tokens(frame.request, frame.adapter)
        texts = tuple(map(reader.token_text, ids))
        link.reply(frame.id, Tokenized(token_ids=tuple(ids), texts=texts, max_length=max_length).model_dump())

    def detokenize(frame: Detokenize) -> None:
        if unknown := sorted({token for token in frame.token_ids if not 0 <= token < reader.vocab_size}):
            told = ", ".join(map(str, unknown[:5]))
            raise InvalidInput(
                f"the model has no tokens {told}; its ids are 0 to {reader.vocab_size - 1}", param="tokens"
            )
        link.reply(frame.id, {"text": reader.text(frame.token_ids)})

    return {Tokenize: tokenize, Detokenize: detokenize}
