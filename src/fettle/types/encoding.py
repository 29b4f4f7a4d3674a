"""What is asked of a sentence encoder, and what it answers."""

from typing import Literal

from pydantic import Field

from fettle.types.record import Record


class EncodeRequest(Record):
    """Texts that are to become vectors, or classes; a text may also be given as its tokens."""

    model: str = Field(min_length=1)
    inputs: tuple[str | tuple[int, ...], ...] = Field(min_length=1)
    task: Literal["embed", "classify"]


class Encoded(Record):
    """What became of the texts, in their order.

    `values` are float32 numbers (little-endian) per text: a vector of length 1, or the probability of each label.
    """

    values: tuple[bytes, ...]
    labels: tuple[str, ...] = Field(default=(), description="the classes, where those were asked for")
    prompt_tokens: int = Field(description="of all texts together")
