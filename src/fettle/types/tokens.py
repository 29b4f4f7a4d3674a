"""What is asked about a model's tokens without a word being written, and what is answered."""

from pydantic import Field

from fettle.types.generation import Message, Tool
from fettle.types.record import Record


class TokenizeRequest(Record):
    """A prompt whose tokens are asked for; exactly one of `messages` and `text` is given."""

    model: str = Field(min_length=1)
    messages: tuple[Message, ...] | None = None
    text: str | None = None
    tools: tuple[Tool, ...] = Field(default=(), description="what the answer may call; only with `messages`")
    is_bare: bool = Field(default=False, description="nothing is put around `text`, as it would be for an answer")


class Tokenized(Record):
    """A prompt's tokens."""

    token_ids: tuple[int, ...]
    texts: tuple[str, ...] = Field(description="each token's text; incomplete characters are U+FFFD")
    max_length: int = Field(description="tokens of prompt and answer together, at most")


class DetokenizeRequest(Record):
    """Tokens whose text is asked for."""

    model: str = Field(min_length=1)
    token_ids: tuple[int, ...]
