"""What a loss is: a few terms, each summed over what it counts, so that batches can be split exactly."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from fettle.data.examples import Example
from fettle.data.packing import Batch, Rows
from fettle.data.template import Template
from fettle.models.decoder import Decoder
from fettle.models.virtual_tokens import VirtualTokens


@dataclass(frozen=True)
class Loss:
    """A batch's loss in nats.

    Attributes:
        terms: (K,), each summed over its part of the batch; divided by the objective's counts and added up they are
            the loss.
        num_correct: of the right answers' tokens, how many were predicted right.
        num_tokens: the right answers' tokens.
        num_ranked_first: of the rows with several answers, in how many the right one is the likeliest.
        num_ranked: the rows with several answers.
    """

    terms: Tensor
    num_correct: int
    num_tokens: int
    num_ranked_first: int = 0
    num_ranked: int = 0


class Tuned(Protocol):
    """The model that a loss is taken of."""

    decoder: Decoder

    def virtual(self) -> VirtualTokens | None:
        """What every row comes after, with gradients; None for nothing."""
        ...

    def untuned(self, num_tokens: int) -> AbstractContextManager[object]:
        """Inside, the decoder computes what it did before it was tuned."""
        ...


class Objective(Protocol):
    """How rows become tokens, and what is to become small."""

    def rows(self, examples: Iterable[tuple[int, Example]], template: Template, context: int) -> Rows:
        """Encode (line number, example) pairs.

        Raises:
            InvalidRows: some cannot be used with this objective.
        """
        ...

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """What each term of the batch's loss is a mean over."""
        ...

    def loss(self, model: Tuned, batch: Batch) -> Loss:
        """The loss of a batch."""
        ...
