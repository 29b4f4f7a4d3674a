"""All adapters known to one model, by slot, and which slot each token of the present batch uses.

Slot -1 is the base model.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fettle.adapters.adapter import Adapter

BASE = -1


@dataclass(frozen=True)
class Route:
    """The slots of a batch's tokens, as runs of (slot, number of tokens) in their order."""

    runs: tuple[tuple[int, int], ...]

    @property
    def only(self) -> int | None:
        """The slot that all tokens share, or None."""
        slots = {slot for slot, count in self.runs if count}
        return slots.pop() if len(slots) == 1 else None

    @cached_property
    def slots_T(self) -> Tensor:
        """Every token's slot."""
        slots, counts = zip(*self.runs, strict=True)
        return torch.tensor(slots).repeat_interleave(torch.tensor(counts))

    @cached_property
    def segments(self) -> tuple[tuple[int, Tensor], ...]:
        """For each slot in the batch but the base's, the places of its tokens."""
        used = sorted({slot for slot, count in self.runs if count and slot != BASE})
        return tuple((slot, (self.slots_T == slot).nonzero().squeeze(1)) for slot in used)


_BASE_ROUTE = Route(((BASE, 1),))


class AdapterBank:
    """Adapters by slot; the `AdaptedLinear`s of one model look here for what to do."""

    def __init__(self) -> None:
        self.adapters: dict[int, Adapter] = {}
        self.route_now = _BASE_ROUTE
        self.only: int | None = BASE
        self.is_training = False
        self.version = 0

    def add(self, adapter: Adapter) -> int:
        """Give an adapter the lowest free slot."""
        slot = next(slot for slot in range(len(self.adapters) + 1) if slot not in self.adapters)
        self.adapters[slot] = adapter
        self.version += 1
        return slot

    def remove(self, slot: int) -> None:
        """Free a slot; no batch may use it any more."""
        del self.adapters[slot]
        self.version += 1

    @contextmanager
    def route(self, runs: Sequence[tuple[int, int]]) -> Iterator[None]:
        """Inside, tokens use these slots: `runs` are (slot, number of tokens), in the order of the batch."""
        before = self.route_now, self.only
        self.route_now = Route(tuple(runs))
        self.only = self.route_now.only
        try:
            yield
        finally:
            self.route_now, self.only = before
