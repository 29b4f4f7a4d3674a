"""Processes that train one model: each computes a share of every step's rows, and all move the same parameters alike.

Nothing but sums goes between them: what a step's terms count, what the losses are, and the gradients, each of them a
part of the mean over the whole step. So it does not matter how unequal the shares are, or that one of them is empty,
and every decision is taken from the same numbers in every process.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from fettle.data.packing import Ints

#: Numbers that a process can tell the others at once.
MAX_NUMBERS = 62
#: Gradients are added up in pieces of about so many numbers, which are copied for it.
BUCKET_NUMBERS = 2**23


@dataclass(frozen=True)
class Team:
    """The processes that train together, as one of them sees it; alone, nothing needs to be exchanged.

    Every method but `share` and `seed` waits for the others, so all must call the same ones in the same order.

    Attributes:
        rank: the number of this process, from 0; the first one speaks and writes for all.
        size: how many there are.
        is_sharded: whether each has a share of the weights only: then every batch is an exchange, so all compute
            equally many, and gradients are summed where they are kept.
    """

    rank: int = 0
    size: int = 1
    is_sharded: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this one speaks and writes for all."""
        return self.rank == 0

    def share(self, rows: Sequence[int], lengths: Ints) -> Sequence[int]:
        """This process's part of the rows; all have about as many tokens, given the `lengths` of all rows."""
        if self.size == 1:
            return rows
        return sorted(rows, key=lambda row: (-int(lengths[row]), row))[self.rank :: self.size]

    def seed(self, seed: int) -> int:
        """Of this process's random numbers: the first one has those of a process alone, the others have their own."""
        return random.Random(f"{seed}/{self.rank}").getrandbits(32) if self.rank else seed

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """What every process tells, by rank; at most `MAX_NUMBERS` each. Whole numbers are exact up to 2**53."""
        if self.size == 1:
            return [list(numbers)]
        told = torch.zeros(1 + MAX_NUMBERS, dtype=torch.float64)
        told[: 1 + len(numbers)] = torch.tensor([len(numbers), *numbers], dtype=torch.float64)
        return [[float(x) for x in one[1 : 1 + int(one[0])]] for one in self.gather_tensors(told)]

    def num_missing(self, num_batches: int) -> int:
        """How many batches more this process computes, of no weight, as others have so many more than it."""
        return int(max(self.gather([num_batches]))[0]) - num_batches if self.is_sharded else 0

    def gather_tensors(self, value: Tensor) -> list[Tensor]:
        """Every process's value, by rank; all are of one shape and type."""
        if self.size == 1:
            return [value]
        found = [torch.empty_like(value) for _ in range(self.size)]
        dist.all_gather(found, value)
        return found

    def align(self, values: Iterable[Tensor]) -> None:
        """Give the parameters the values that they have in the first process."""
        if self.size > 1 and not self.is_sharded:
            for value in values:
                dist.broadcast(value.detach(), src=0)

    def add_gradients(self, values: Iterable[Tensor]) -> None:
        """Give each parameter the sum of its gradients in all processes; one without any in all of them keeps none."""
        if self.size > 1 and not self.is_sharded:
            for bucket in _buckets([value for value in values if value.requires_grad]):
                _add(bucket)


#: A process on its own.
ALONE = Team()


@contextmanager
def team() -> Iterator[Team]:
    """The processes that the launcher has started, of which this is one; they exchange sums while the block runs."""
    dist.init_process_group("gloo")
    yield Team(dist.get_rank(), dist.get_world_size())
    # Not after an error: the process ends, which is what the others notice.
    dist.destroy_process_group()


def whole(value: Any) -> Any:
    """A tensor whose shares are in several processes, as a whole in each of them; also inside of dicts and lists."""
    if isinstance(value, Mapping):
        return {key: whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [whole(one) for one in value]
    return value.full_tensor() if isinstance(value, DTensor) else value


def shared_like(value: Tensor, other: Tensor) -> Tensor:
    """A tensor in shares, if those of `other` are; each process gives the same whole one."""
    if not isinstance(other, DTensor) or isinstance(value, DTensor) or value.shape != other.shape:
        return value
    return distribute_tensor(value, other.device_mesh, other.placements, src_data_rank=None)


def _buckets(values: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for value in values:
        if bucket and sum(one.numel() for one in bucket) + value.numel() > BUCKET_NUMBERS:
            yield bucket
            bucket = []
        bucket.append(value)
    if bucket:
        yield bucket


def _add(values: Sequence[Tensor]) -> None:
    """Exchange gradients in one go; behind them stands for each whether there is one."""
    gradients = [torch.zeros_like(value) if value.grad is None else value.grad for value in values]
    present = torch.tensor([float(value.grad is not None) for value in values])
    flat = torch.cat([*(gradient.flatten().float() for gradient in gradients), present])
    dist.all_reduce(flat)
    *sums, present = torch.split(flat, [*(value.numel() for value in values), len(values)])
    for value, gradient, total, count in zip(values, gradients, sums, present.tolist(), strict=True):
        if count:
            value.grad = gradient.copy_(total.view_as(gradient))
