"""All adapters known to one model, by slot, and which slot each token of the present batch uses.

Slot -1 is the base model.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fettle.adapters.adapter import Adapter

BASE = -1


@dataclass(frozen=True)
class Group:
    """Slots of one form with about equally many tokens: their products are one batched product.

    Attributes:
        slots: in the order of the batch.
        take: places of tokens, for every slot as many as the largest has; fillers repeat a slot's first token.
        give: places of the tokens without fillers, in the same order.
        kept: where in `take` those are; None if there are no fillers.
        is_all: the group is the whole batch in its own order, so nothing needs to be taken or given anywhere else.
    """

    slots: tuple[int, ...]
    take: Tensor
    give: Tensor
    kept: Tensor | None
    is_all: bool


@dataclass(frozen=True)
class Route:
    """The slots of a batch's tokens, as runs of (slot, number of tokens) in their order."""

    runs: tuple[tuple[int, int], ...]
    _alike: dict[tuple[Hashable, ...], dict[Hashable, tuple[int, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _groups: dict[tuple[int, ...], Group] = field(default_factory=dict, init=False, repr=False, compare=False)
    _taken: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def only(self) -> int | None:
        """The slot that all tokens share, or None."""
        slots = {slot for slot, count in self.runs if count}
        return slots.pop() if len(slots) == 1 else None

    @cached_property
    def rows_T(self) -> Tensor:
        """Every token's row in a table that begins with what the base has, followed by every slot's."""
        slots, counts = zip(*self.runs, strict=True)
        return (torch.tensor(slots) - BASE).repeat_interleave(torch.tensor(counts))

    @cached_property
    def highest(self) -> int:
        """The last slot of the batch."""
        return max(self.places)

    @cached_property
    def places(self) -> dict[int, list[int]]:
        """For each slot in the batch the places of its tokens."""
        places: dict[int, list[int]] = defaultdict(list)
        start = 0
        for slot, count in self.runs:
            if count:
                places[slot].extend(range(start, start + count))
            start += count
        return dict(places)

    def alike(self, forms: Mapping[int, Hashable]) -> dict[Hashable, tuple[int, ...]]:
        """The batch's slots that are in `forms`, those together that can be computed at once; for all sites in turn."""
        found = tuple(map(forms.get, self.places))
        if found not in self._alike:
            together: dict[Hashable, list[int]] = defaultdict(list)
            for (slot, places), form in zip(self.places.items(), found, strict=True):
                if form is not None:
                    # Counts of as many binary digits: fillers never double a group.
                    together[form, len(places).bit_length()].append(slot)
            self._alike[found] = {key: tuple(slots) for key, slots in together.items()}
        return self._alike[found]

    def group(self, slots: tuple[int, ...]) -> Group:
        """Slots in this order as one group; planned once for all sites."""
        if slots not in self._groups:
            self._groups[slots] = self._group(slots)
        return self._groups[slots]

    def taken(self, x_TI: Tensor, group: Group, dtype: torch.dtype) -> Tensor:
        """`taken_rows`, kept for the next one who asks: layers that share their input ask one after the other."""
        key = x_TI, group, dtype
        if not self._taken or any(one is not other for one, other in zip(key, self._taken[:3], strict=True)):
            self._taken[:] = *key, taken_rows(*key)
        taken: Tensor = self._taken[3]
        return taken

    def _group(self, slots: tuple[int, ...]) -> Group:
        rows = [self.places[slot] for slot in slots]
        longest = max(len(row) for row in rows)
        take = [place for row in rows for place in row + row[:1] * (longest - len(row))]
        kept = [i * longest + j for i, row in enumerate(rows) for j in range(len(row))]
        give = [place for row in rows for place in row]
        is_all = take == list(range(sum(count for _, count in self.runs)))
        fillers = None if len(kept) == len(take) else torch.tensor(kept)
        return Group(slots, torch.tensor(take), torch.tensor(give), fillers, is_all)


def taken_rows(x_TI: Tensor, group: Group, dtype: torch.dtype) -> Tensor:
    """(slots, tokens of each, in): what a group's narrow layers see of a batch, in their number type."""
    rows = x_TI if group.is_all else x_TI.index_select(0, group.take)
    return rows.to(dtype).reshape(len(group.slots), -1, x_TI.shape[1])


_BASE_ROUTE = Route(((BASE, 1),))


class AdapterBank:
    """Adapters by slot; the `AdaptedLinear`s of one model look here for what to do.

    Attributes:
        adapters: by slot.
        route_now: which slot each token of the present batch uses.
        only: the slot that all of them share, or None.
        is_training: dropout is on.
        is_tuned: the adapters change from batch to batch, so nothing may be gathered of them for later.
        randoms: by slot, where its dropout's numbers come from; torch's own generator, where none is given.
        version: goes up whenever an adapter comes or goes.
    """

    def __init__(self) -> None:
        self.adapters: dict[int, Adapter] = {}
        self.route_now = _BASE_ROUTE
        self.only: int | None = BASE
        self.is_training = self.is_tuned = False
        self.randoms: dict[int, torch.Generator] = {}
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
        self.randoms.pop(slot, None)
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

    def again(self) -> AbstractContextManager[None]:
        """Inside, what was computed at the time of this call comes out again: the same slots, the same dropout."""
        return self._as_it_was(self.route_now.runs, self._states())

    @contextmanager
    def _as_it_was(self, runs: Sequence[tuple[int, int]], states: Mapping[int, Tensor]) -> Iterator[None]:
        now = self._states()
        self._set_states(states)
        try:
            with self.route(runs):
                yield
        finally:
            self._set_states(now)

    def _states(self) -> dict[int, Tensor]:
        return {slot: random.get_state() for slot, random in self.randoms.items()}

    def _set_states(self, states: Mapping[int, Tensor]) -> None:
        for slot, state in states.items():
            self.randoms[slot].set_state(state)
