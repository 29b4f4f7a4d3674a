"""The mixed batch: one pass of the base layer for all tokens, and each adapter's terms on its own tokens.

Equal to running every token alone through its kind's `forward` (a contract test compares them). Slots with about
equally many tokens share a batched product, in which each has its own matrices: what is no number in one reaches no
other.
Shapes: T tokens, U slots of a group, N tokens of each of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor

from fettle.adapters.adapter import Adapter
from fettle.adapters.bank import AdapterBank, Group, Route
from fettle.adapters.frozen import FrozenLinear
from fettle.adapters.kinds.base import Layer, Site, Terms


@dataclass(frozen=True)
class Narrow:
    """x to activation(x down + bias) up: through few numbers, for one slot or, stacked, for several.

    Attributes:
        down: (in, rank).
        up: (rank, out).
        bias: (1, rank) or None.
        activation: None for none.
    """

    down: Tensor
    up: Tensor
    bias: Tensor | None = None
    activation: Layer | None = None

    @property
    def form(self) -> tuple[int, bool, Layer | None]:
        """What is equal for those that can be stacked."""
        return self.up.shape[0], self.bias is None, self.activation

    def __call__(self, x_UNI: Tensor) -> Tensor:
        """(U, N, out) of stacked ones."""
        narrow = torch.bmm(x_UNI, self.down) if self.bias is None else torch.baddbmm(self.bias, x_UNI, self.down)
        return torch.bmm(narrow if self.activation is None else self.activation(narrow), self.up)


def stacked(parts: list[Narrow]) -> Narrow:
    """Narrow layers of one form as one."""
    biases = [part.bias for part in parts if part.bias is not None]
    bias = _stack(biases) if biases else None
    return Narrow(_stack([p.down for p in parts]), _stack([p.up for p in parts]), bias, parts[0].activation)


def _stack(values: list[Tensor]) -> Tensor:
    return values[0][None] if len(values) == 1 else torch.stack(values)


@dataclass
class Narrows:
    """Narrow layers by slot, and those of the last batch stacked: in most steps the next one has the same."""

    by_slot: dict[int, Narrow]
    _stacks: dict[tuple[int, ...], Narrow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._forms = tuple((slot, narrow.form) for slot, narrow in self.by_slot.items())

    def add(self, y_TO: Tensor, x_TI: Tensor, route: Route) -> None:
        """Add to each token in `y_TO` what its slot's narrow layer makes of it in `x_TI`; both may be the same."""
        groups = route.groups(self._forms)
        self._stacks = {g.slots: self._stacks.get(g.slots) or self._stacked(g) for g in groups}
        for group in groups:
            x_UNI = x_TI.index_select(0, group.take).view(len(group.slots), -1, x_TI.shape[1])
            out = self._stacks[group.slots](x_UNI).flatten(0, 1)
            out = out if group.kept is None else out.index_select(0, group.kept)
            y_TO.index_add_(0, group.give, out.to(y_TO.dtype))

    def _stacked(self, group: Group) -> Narrow:
        return stacked([self.by_slot[slot] for slot in group.slots])


@dataclass(frozen=True)
class SiteTables:
    """One site's terms of all adapters.

    Attributes:
        version: of the bank, when this was gathered.
        s_in: (slots + 1, in) or None; the last row is ones, so slot -1 finds it.
        s_out: (slots + 1, out) or None, likewise.
        shift: (slots + 1, out) or None; the last row is zeros.
        low_rank: beside the layer; ranks may differ.
        bottleneck: behind it.
    """

    version: int
    s_in: Tensor | None
    s_out: Tensor | None
    shift: Tensor | None
    low_rank: Narrows
    bottleneck: Narrows

    @classmethod
    def gather(cls, site: Site, bank: AdapterBank, beneath: Callable[[Adapter], FrozenLinear]) -> "SiteTables":
        """Collect the terms of every adapter of the bank that acts at the site."""
        terms = {
            slot: adapter.maths.terms(adapter.sites[site.name], adapter.config, beneath(adapter))
            for slot, adapter in bank.adapters.items()
            if site.name in adapter.sites
        }
        size = max(bank.adapters, default=-1) + 2
        return cls(
            version=bank.version,
            s_in=_table(terms, "s_in", size, fill=1.0),
            s_out=_table(terms, "s_out", size, fill=1.0),
            shift=_table(terms, "shift", size, fill=0.0),
            low_rank=Narrows(_low_ranks(terms)),
            bottleneck=Narrows(_bottlenecks(terms)),
        )


def _table(terms: dict[int, Terms], name: str, size: int, *, fill: float) -> Tensor | None:
    vectors = {slot: vector for slot, t in terms.items() if (vector := getattr(t, name)) is not None}
    if not vectors:
        return None
    first: Tensor = next(iter(vectors.values()))
    # DoRA's are float32 beside bf16 weights.
    widest = reduce(torch.promote_types, (vector.dtype for vector in vectors.values()))
    table = first.new_full((size, first.numel()), fill, dtype=widest)
    for slot, vector in vectors.items():
        table[slot] = vector
    return table


def _low_ranks(terms: dict[int, Terms]) -> dict[int, Narrow]:
    return {
        slot: Narrow(t.a.mT, t.b.to(t.a.dtype).mT) for slot, t in terms.items() if t.a is not None and t.b is not None
    }


def _bottlenecks(terms: dict[int, Terms]) -> dict[int, Narrow]:
    return {
        slot: Narrow(t.down.mT, t.up.mT, None if t.down_bias is None else t.down_bias[None], t.activation)
        for slot, t in terms.items()
        if t.down is not None and t.up is not None
    }


def mixed(x_TI: Tensor, base: Callable[[Tensor], Tensor], tables: SiteTables, route: Route) -> Tensor:
    """The formulas of `Terms`, for T tokens of any slots."""
    y = base(x_TI if tables.s_in is None else x_TI * tables.s_in[route.slots_T])
    kind = y.dtype
    if tables.s_out is not None:
        y = (y * tables.s_out[route.slots_T]).to(kind)
    tables.low_rank.add(y, x_TI, route)
    tables.bottleneck.add(y, y, route)
    return y if tables.shift is None else (y + tables.shift[route.slots_T]).to(kind)
