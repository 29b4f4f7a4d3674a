"""The layer that trains and serves: a linear layer whose tokens each go through the adapter of their slot."""

from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from fettle.adapters.adapter import Adapter
from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.dropout import dropout
from fettle.adapters.frozen import FrozenLinear
from fettle.adapters.kernels import SiteTables, mixed
from fettle.adapters.kinds.base import Layer, Site, keep


class AdaptedLinear(nn.Module):
    """`base` with the adapters that `bank` has at this site; the plain form is each kind's own `forward`."""

    def __init__(self, base: nn.Linear, bank: AdapterBank, name: str) -> None:
        super().__init__()
        self.base, self.bank = base, bank
        self.site = Site(name, base.in_features, base.out_features, base.weight)
        self._beneath: WeakKeyDictionary[Adapter, FrozenLinear] = WeakKeyDictionary()
        self._tables: SiteTables | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out), every token by its slot."""
        only = self.bank.only
        if only is not None:
            return self.alone(only, x)
        flat = x.flatten(0, -2)
        return mixed(flat, self.base, self.tables(), self.bank.route_now).view(*x.shape[:-1], -1)

    def alone(self, slot: int, x: Tensor) -> Tensor:
        """All of `x` through one slot's adapter; this is the definition."""
        adapter = self.bank.adapters.get(slot) if slot != BASE else None
        params = adapter.sites.get(self.site.name) if adapter else None
        if adapter is None or params is None:
            out: Tensor = self.base(x)
            return out
        drop = self._drop(adapter.maths.dropout(adapter.config))
        result: Tensor = adapter.maths.forward(x, self.beneath(adapter), params, adapter.config, drop)
        # Trained parameters are float32 beside a bf16 base: the stream keeps its own type.
        return result.to(x.dtype)

    def tables(self) -> SiteTables:
        """The site's parameters of all adapters, gathered anew when the bank has changed."""
        if self._tables is None or self._tables.version != self.bank.version:
            self._tables = SiteTables.gather(self.site, self.bank, self.beneath)
        return self._tables

    def beneath(self, adapter: Adapter) -> FrozenLinear:
        """The base as the adapter's kind sees it."""
        if adapter not in self._beneath:
            self._beneath[adapter] = FrozenLinear(self.base, adapter)
        return self._beneath[adapter]

    def _drop(self, share: float) -> Layer:
        if not (self.bank.is_training and share):
            return keep

        def drop(x: Any) -> Any:
            return dropout(x, share)

        return drop
