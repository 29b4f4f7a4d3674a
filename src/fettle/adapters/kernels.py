"""The mixed batch: one pass of the base layer for all tokens, and each adapter's terms on its own tokens.

Equal to running every token alone through its kind's `forward` (a contract test compares them). Slots with about
equally many tokens share a batched product, in which each has its own matrices: what is no number in one reaches no
other.
Shapes: T tokens.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from fettle.adapters.adapter import Adapter
from fettle.adapters.bank import AdapterBank, Route
from fettle.adapters.frozen import FrozenLinear
from fettle.adapters.kinds.base import Site, Terms
from fettle.adapters.stacks import Narrow, Narrows


class Vectors:
    """One site's vectors of one name by slot, for all tokens of a batch at once."""

    def __init__(self, fill: float) -> None:
        """`fill` is what changes nothing: slots without a vector, and the base, have it."""
        self._fill = fill
        self._slots: set[int] = set()
        # The first row is the fill, for slot -1.
        self._rows: Tensor | None = None

    def put(self, slot: int, vector: Tensor | None) -> None:
        """Let a slot have this one, or none."""
        if vector is not None:
            self._slots.add(slot)
            self._rows = self._roomy(slot, vector)
            self._rows[slot + 1] = vector
        elif slot in self._slots:
            self._slots.remove(slot)
            assert self._rows is not None
            self._rows[slot + 1] = self._fill

    def _roomy(self, slot: int, vector: Tensor) -> Tensor:
        before = self._rows
        # DoRA's are float32 beside bf16 weights.
        dtype = vector.dtype if before is None else torch.promote_types(vector.dtype, before.dtype)
        if before is not None and slot + 1 < len(before):
            return before.to(dtype)
        rows = vector.new_full(((1 << slot.bit_length()) + 1, vector.numel()), self._fill, dtype=dtype)
        if before is not None:
            rows[: len(before)] = before
        return rows

    def of(self, route: Route) -> Tensor | None:
        """(T, size), each token's; None if no slot of the batch has one."""
        if self._rows is None or self._slots.isdisjoint(route.places):
            return None
        self._rows = self._roomy(route.highest, self._rows[0])
        return self._rows.index_select(0, route.rows_T)


class SiteTables:
    """One site's terms of all adapters that act there."""

    def __init__(self, site: Site, beneath: Callable[[Adapter], FrozenLinear]) -> None:
        """No adapters yet; `beneath` gives the base as an adapter's kind sees it."""
        self._site, self._beneath = site, beneath
        self._adapters: dict[int, Adapter] = {}
        self._version = -1
        self.s_in, self.s_out, self.shift = Vectors(1.0), Vectors(1.0), Vectors(0.0)
        self.low_rank, self.bottleneck = Narrows(), Narrows()

    @property
    def is_empty(self) -> bool:
        """Whether no adapter acts there."""
        return not self._adapters

    def follow(self, bank: AdapterBank) -> None:
        """Note which adapters have come and gone since the last call."""
        if self._version == bank.version:
            return
        here = {slot: adapter for slot, adapter in bank.adapters.items() if self._site.name in adapter.sites}
        for slot in self._adapters.keys() - here.keys():
            self._put(slot, Terms())
        for slot, adapter in here.items():
            if self._adapters.get(slot) is not adapter:
                params = adapter.sites[self._site.name]
                self._put(slot, adapter.maths.terms(params, adapter.config, self._beneath(adapter)))
        self._adapters, self._version = here, bank.version

    def _put(self, slot: int, terms: Terms) -> None:
        self.s_in.put(slot, terms.s_in)
        self.s_out.put(slot, terms.s_out)
        self.shift.put(slot, terms.shift)
        self.low_rank.put(slot, _low_rank(terms))
        self.bottleneck.put(slot, _bottleneck(terms))


def _low_rank(terms: Terms) -> Narrow | None:
    a, b = terms.a, terms.b
    return None if a is None or b is None else Narrow(a.mT, b.to(a.dtype).mT)


def _bottleneck(terms: Terms) -> Narrow | None:
    if terms.down is None or terms.up is None:
        return None
    bias = None if terms.down_bias is None else terms.down_bias[None]
    return Narrow(terms.down.mT, terms.up.mT, bias, terms.activation)


def mixed(x_TI: Tensor, base: Callable[[Tensor], Tensor], tables: SiteTables, route: Route) -> Tensor:
    """The formulas of `Terms`, for T tokens of any slots."""
    s_in, s_out, shift = tables.s_in.of(route), tables.s_out.of(route), tables.shift.of(route)
    y = base(x_TI if s_in is None else x_TI * s_in)
    kind = y.dtype
    if s_out is not None:
        y = (y * s_out).to(kind)
    tables.low_rank.add(y, x_TI, route)
    tables.bottleneck.add(y, y, route)
    return y if shift is None else (y + shift).to(kind)
