"""Losses: one file each; a loss is a few terms, each summed over what it counts, so that batches can be split exactly."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """A batch's loss in nats.

    Attributes:
        terms: (K,), each summed over its part of the batch; divided by `Batch.counts` and added up they are the loss.
        num_correct: of the answers' tokens, how many were predicted right.
        num_tokens: the answers' tokens.
    """

    terms: Tensor
    num_correct: int
    num_tokens: int
