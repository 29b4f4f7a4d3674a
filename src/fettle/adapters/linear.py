"""The layer that trains and serves: a linear layer whose tokens each go through the adapter of their slot."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fettle.adapters.adapter import Adapter
from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.dropout import dropout, mask
from fettle.adapters.frozen import FrozenLinear
from fettle.adapters.kernels import SiteTables, mixed
from fettle.adapters.kinds.base import Layer, Site, keep
from fettle.adapters.low_rank import Part, adapted


class AdaptedLinear(nn.Module):
    """`base` with the adapters that `bank` has at this site; the plain form is each kind's own `forward`."""

    def __init__(self, base: nn.Linear, bank: AdapterBank, name: str) -> None:
        super().__init__()
        self.base, self.bank = base, bank
        # One that is laid out for serving is no parameter, and not made plain to be kept: who serves starts no adapter.
        weight = base._parameters.get("weight")
        self.site = Site(name, base.in_features, base.out_features, weight)
        self._beneath: WeakKeyDictionary[Adapter, FrozenLinear] = WeakKeyDictionary()
        self._tables = SiteTables(self.site, self.beneath)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out), every token by its slot."""
        only = self.bank.only
        if only is not None:
            return self.alone(only, x)
        if self.bank.is_tuned:
            return self.by_runs(x)
        tables = self.tables()
        if tables.is_empty:
            out: Tensor = self.base(x)
            return out
        return mixed(x.flatten(0, -2), self.base, tables, self.bank.route_now).view(*x.shape[:-1], -1)

    def by_runs(self, x: Tensor) -> Tensor:
        """(T, in) to (T, out), each run of tokens as if it were alone.

        One product with the base serves all, and neighbours of one form and length are computed at once.
        """
        runs = [(count, self.bank.adapters.get(slot), slot) for slot, count in self.bank.route_now.runs]
        if self._is_written_out(x, [adapter for _, adapter, _ in runs]):
            return adapted(x, self.base, [self._part(*run) for run in runs])
        groups = [list(group) for _, group in groupby(self.bank.route_now.runs, self._form)]
        sizes = [sum(count for _, count in group) for group in groups]
        parts = zip(groups, torch.split(x, sizes), torch.split(self.base(x), sizes), strict=True)
        return torch.cat([self._alike([slot for slot, _ in group], part, product) for group, part, product in parts])

    def alone(self, slot: int, x: Tensor, product: Tensor | None = None) -> Tensor:
        """All of `x`, whose product with the base may be known, through one slot's adapter; this is the definition."""
        adapter = self.bank.adapters.get(slot) if slot != BASE else None
        params = adapter.sites.get(self.site.name) if adapter else None
        if adapter is None or params is None:
            out: Tensor = self.base(x) if product is None else product
            return out
        if product is None and self._is_written_out(x, [adapter]):
            return adapted(x, self.base, [self._part(x.shape[:-1].numel(), adapter, slot)])
        drop = self._drop(adapter.maths.dropout(adapter.config), [self.bank.randoms.get(slot)])
        beneath = self.beneath(adapter) if product is None else _Multiplied(self.beneath(adapter), x, product)
        result: Tensor = adapter.maths.forward(x, beneath, params, adapter.config, drop)
        # Trained parameters are float32 beside a bf16 base: the stream keeps its own type.
        return result.to(x.dtype)

    def _is_written_out(self, x: Tensor, adapters: Iterable[Adapter | None]) -> bool:
        """Whether gradients may be wanted, and those of all that the adapters do here are written out."""
        return torch.is_grad_enabled() and self._is_one_type(x) and all(map(self._is_low_rank, adapters))

    def _is_low_rank(self, adapter: Adapter | None) -> bool:
        """Whether all that the adapter does here is to add a product of low rank, or nothing."""
        params = adapter.sites.get(self.site.name) if adapter else None
        return adapter is None or params is None or adapter.maths.low_rank(params, adapter.config) is not None

    def _part(self, count: int, adapter: Adapter | None, slot: int) -> Part:
        """So many tokens with what a low-rank adapter does here, whose gradients are written out."""
        params = adapter.sites.get(self.site.name) if adapter else None
        if adapter is None or params is None:
            return Part(count, None, None)
        share = adapter.maths.dropout(adapter.config) if self.bank.is_training else 0.0

        def drop(flat: Tensor) -> tuple[Tensor, float]:
            return mask(flat, share, [self.bank.randoms.get(slot)])

        return Part(count, adapter.maths.low_rank(params, adapter.config), drop if share else None)

    def _is_one_type(self, x: Tensor) -> bool:
        """Whether the frozen layer is a matrix, as quantized ones are not, and is multiplied with `x` as it is."""
        weight, device = self.base.weight, x.device.type
        is_matrix = type(self.base) is nn.Linear and not weight.requires_grad
        multiplied = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        return is_matrix and weight.dtype == x.dtype == multiplied

    def _form(self, run: tuple[int, int]) -> Hashable:
        """Equal for runs of tokens that can be computed at once."""
        slot, count = run
        adapter = self.bank.adapters.get(slot)
        has_site = adapter is not None and self.site.name in adapter.sites
        return (adapter.kind, adapter.config, count) if adapter and has_site else slot

    def _alike(self, slots: list[int], x: Tensor, product: Tensor) -> Tensor:
        """Equal parts of `x` through adapters of one form, whose parameters are stacked."""
        if len(slots) == 1:
            return self.alone(slots[0], x, product)
        adapters = [self.bank.adapters[slot] for slot in slots]
        sites, maths, config = [a.sites[self.site.name] for a in adapters], adapters[0].maths, adapters[0].config
        params = {name: torch.stack([_as_matrix(site[name]) for site in sites]) for name in sites[0]}
        x_UNI, y_UNO = (value.view(len(slots), -1, value.shape[-1]) for value in (x, product))
        drop = self._drop(maths.dropout(config), [self.bank.randoms.get(slot) for slot in slots])
        beneath = _Multiplied(self.beneath(adapters[0]), x_UNI, y_UNO)
        result: Tensor = maths.forward(x_UNI, beneath, params, config, drop)
        return result.to(x.dtype).flatten(0, 1)

    def tables(self) -> SiteTables:
        """The site's parameters of all adapters that are in the bank now."""
        self._tables.follow(self.bank)
        return self._tables

    def beneath(self, adapter: Adapter) -> FrozenLinear:
        """The base as the adapter's kind sees it."""
        if adapter not in self._beneath:
            self._beneath[adapter] = FrozenLinear(self.base, adapter)
        return self._beneath[adapter]

    def _drop(self, share: float, randoms: list[torch.Generator | None]) -> Layer:
        if not (self.bank.is_training and share):
            return keep

        def drop(x: Any) -> Any:
            return dropout(x, share, randoms)

        return drop


def _as_matrix(value: Tensor) -> Tensor:
    """A vector as one row: of several stacked ones, each meets all tokens of its own part."""
    return value if value.ndim == 2 else value[None]


@dataclass(frozen=True)
class _Multiplied:
    """A frozen layer whose product with one input is known; parameters of adapters on it may be stacked."""

    layer: FrozenLinear
    x: Tensor
    product: Tensor

    @property
    def bias(self) -> Tensor | None:
        return self.layer.bias

    def __call__(self, x: Tensor) -> Tensor:
        return self.product if x is self.x else self.layer(x)

    def norms(self, b: Tensor, a: Tensor) -> Tensor:
        if b.ndim == 2:
            return self.layer.norms(b, a)
        # One after the other: each takes as much memory as the weight.
        return torch.stack([self.layer.norms(*pair) for pair in zip(b, a, strict=True)])[:, None]
