"""Losses: one file each; a loss is summed over its scored tokens so that batches can be split and added up exactly."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """A batch's loss in nats, summed over its scored tokens, with how many of them were predicted right."""

    total: Tensor
    num_correct: int
    num_tokens: int
