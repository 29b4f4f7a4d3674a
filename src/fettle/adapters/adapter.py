"""One adapter: a kind, its settings, and its parameters, at each site or of virtual tokens."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.base import AdapterConfig, AdapterKind, Site, Start, row_norms
from fettle.adapters.kinds.virtual import VirtualConfig
from fettle.errors import InvalidInput

Params = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Adapter:
    """What makes a model custom.

    Attributes:
        kind: name in `KINDS`.
        config: the kind's settings.
        sites: parameters by site (module name) and parameter name.
        virtual: parameters of virtual tokens by name; empty for a kind that has sites.
    """

    kind: str
    config: AdapterConfig
    sites: dict[str, Params]
    virtual: Params = field(default_factory=dict)

    @property
    def maths(self) -> AdapterKind[Any]:
        """The formulas at sites."""
        maths = KINDS[self.kind]
        assert isinstance(maths, AdapterKind), "asked at a site"
        return maths

    @property
    def num_virtual_tokens(self) -> int:
        """Positions that it puts before every sequence."""
        return self.config.num_virtual_tokens if isinstance(self.config, VirtualConfig) else 0

    def named_parameters(self) -> dict[str, Tensor]:
        """Every parameter as '<site>.<name>', those of virtual tokens as 'virtual.<name>'."""
        parts = {**self.sites, "virtual": self.virtual}
        return {f"{part}.{name}": value for part, params in parts.items() for name, value in params.items()}

    @property
    def size_bytes(self) -> int:
        """Memory that the parameters take."""
        return sum(value.numel() * value.element_size() for value in self.named_parameters().values())

    def to(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> "Adapter":
        """A copy in another number type or place, without gradients."""

        def moved(params: Params) -> Params:
            return {name: value.detach().to(device=device, dtype=dtype) for name, value in params.items()}

        sites = {site: moved(params) for site, params in self.sites.items()}
        return Adapter(self.kind, self.config, sites, moved(self.virtual))


def fresh(kind: str, config: AdapterConfig, sites: Iterable[Site], *, seed: int) -> Adapter:
    """An untrained adapter at sites (float32, gradients on) that changes nothing yet.

    Raises:
        InvalidInput: the kind starts from the weights, and those of the model are packed.
    """
    generator = torch.Generator().manual_seed(seed)
    maths = KINDS[kind]
    assert isinstance(maths, AdapterKind), "virtual tokens are not at sites"
    starts = {site: maths.starts(site, config) for site in sites}
    params = {site.name: {n: _begin(s, site, generator) for n, s in named.items()} for site, named in starts.items()}
    return Adapter(kind, config, params)


def _begin(start: Start, site: Site, generator: torch.Generator) -> Tensor:
    value = torch.full(start.shape, float(start.fill == "ones"))
    if start.fill == "uniform":
        value.uniform_(-start.bound, start.bound, generator=generator)
    if start.fill == "norms":
        value = row_norms(_weight(site).float())
    if not math.prod(start.shape):
        raise ValueError(f"an adapter parameter of shape {start.shape} is empty")
    return value.requires_grad_()


def _weight(site: Site) -> Tensor:
    assert site.weight is not None, "the sites of a model have weights"
    if not site.weight.is_floating_point():
        raise InvalidInput(
            f"dora needs the rows of every weight, and those of {site.name} are packed as {site.weight.dtype}",
            hint="Tune without dora, or with quantization=none.",
            param="dora",
        )
    weight: Tensor = site.weight.detach()
    return weight
