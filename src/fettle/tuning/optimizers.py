"""Optimizers by name; the rate that they are given is the peak, which the schedule then scales."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fettle.plugins import Table
from fettle.types.tuning import Hyperparameters

Make = Callable[[Sequence[Tensor], float, Hyperparameters], torch.optim.Optimizer]


def adamw(values: Sequence[Tensor], rate: float, settings: Hyperparameters) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay. Source: arXiv 1711.05101."""
    return torch.optim.AdamW(values, lr=rate, weight_decay=settings.weight_decay, betas=(0.9, 0.99), fused=True)


def adafactor(values: Sequence[Tensor], rate: float, settings: Hyperparameters) -> torch.optim.Optimizer:
    """Adafactor as T-Few has it: the rate is times the root mean square of each parameter. Source: arXiv 1804.04235."""
    return torch.optim.Adafactor(values, lr=rate, eps=(1e-30, 1e-3), weight_decay=settings.weight_decay)


OPTIMIZERS: Table[Make] = Table("optimizer", "optimizers", {"adamw": adamw, "adafactor": adafactor})
