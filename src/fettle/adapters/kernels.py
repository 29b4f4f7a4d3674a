"""The mixed batch: one pass of the base layer for all tokens, and each adapter's terms on its own tokens.

Equal to running every token alone through its kind's `forward` (a contract test compares them). Shapes: T tokens.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from fettle.adapters.bank import AdapterBank, Route
from fettle.adapters.kinds.base import Site, Terms


@dataclass(frozen=True)
class SiteTables:
    """One site's terms of all adapters.

    Attributes:
        version: of the bank, when this was gathered.
        s_in: (slots + 1, in) or None; the last row is ones, so slot -1 finds it.
        s_out: (slots + 1, out) or None, likewise.
        low_rank: by slot, A transposed (in, rank) and B transposed (rank, out); ranks may differ.
    """

    version: int
    s_in: Tensor | None
    s_out: Tensor | None
    low_rank: dict[int, tuple[Tensor, Tensor]]

    @classmethod
    def gather(cls, site: Site, bank: AdapterBank) -> "SiteTables":
        """Collect the terms of every adapter of the bank that acts at the site."""
        terms = {
            slot: adapter.maths.terms(adapter.sites[site.name], adapter.config, site)
            for slot, adapter in bank.adapters.items()
            if site.name in adapter.sites
        }
        size = max(bank.adapters, default=-1) + 2
        low_rank = {
            s: (t.a.mT.contiguous(), t.b.mT.contiguous())
            for s, t in terms.items()
            if t.a is not None and t.b is not None
        }
        return cls(bank.version, _stacked(terms, "s_in", size), _stacked(terms, "s_out", size), low_rank)


def _stacked(terms: dict[int, Terms], name: str, size: int) -> Tensor | None:
    vectors = {slot: vector for slot, t in terms.items() if (vector := getattr(t, name)) is not None}
    if not vectors:
        return None
    first: Tensor = next(iter(vectors.values()))
    table = first.new_ones(size, first.numel())
    for slot, vector in vectors.items():
        table[slot] = vector
    return table


def mixed(x_TI: Tensor, base: nn.Linear, tables: SiteTables, route: Route) -> Tensor:
    """y_t = s_out[slot_t] * W(s_in[slot_t] * x_t) + B[slot_t] A[slot_t] x_t, for T tokens of any slots."""
    y: Tensor = base(x_TI if tables.s_in is None else x_TI * tables.s_in[route.slots_T])
    if tables.s_out is not None:
        y = y * tables.s_out[route.slots_T]
    for slot, places in route.segments:
        if slot in tables.low_rank:
            a, b = tables.low_rank[slot]
            y = y.index_add(0, places, ((x_TI[places] @ a) @ b).to(y.dtype))
    return y
