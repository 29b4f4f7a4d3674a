"""What an adapter kind is: settings, parameters at a site, `forward`, `merge`; written with operators only.

The trainer differentiates these files, the engine runs them, the control plane validates with them, and the tests run
them on NumPy in float64; so nothing here imports torch.
Shapes: `x` is (..., in_features), a weight (out_features, in_features), a result (..., out_features).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from fettle.types.record import Record

#: A torch tensor or a NumPy array.
Array = Any
Layer = Callable[[Array], Array]
C = TypeVar("C", bound="AdapterConfig")


class AdapterConfig(Record):
    """The settings that every kind has."""

    target_modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """A linear layer that may be adapted: its module name and sizes."""

    name: str
    in_features: int
    out_features: int

    @property
    def leaf(self) -> str:
        """The last part of the name, e.g. 'q_proj'."""
        return self.name.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class Start:
    """Shape of a parameter and what it is before training; 'uniform' is within plus and minus `bound`."""

    shape: tuple[int, ...]
    fill: Literal["zeros", "ones", "uniform"]
    bound: float = 0.0


@dataclass(frozen=True)
class Terms:
    """An adapter at one site as parts of `s_out * W(s_in * x) + (x a^T) b^T`; None is left out.

    Every kind that can say this is served by one kernel in a mixed batch; `b` has the kind's scale in it.
    """

    s_in: Array | None = None
    s_out: Array | None = None
    a: Array | None = None
    b: Array | None = None


def keep(x: Array) -> Array:
    """The dropout of evaluation: none."""
    return x


class AdapterKind(ABC, Generic[C]):
    """A way to change what a linear layer computes by a few parameters."""

    name: str
    config: type[C]

    @abstractmethod
    def starts(self, site: Site, config: C) -> dict[str, Start]:
        """The parameters at a site; as they start, they change nothing."""

    @abstractmethod
    def forward(self, x: Array, base: Layer, p: Mapping[str, Array], config: C, drop: Layer = keep) -> Array:
        """What the adapted layer computes for `x`."""

    @abstractmethod
    def merge(self, weight: Array, bias: Array | None, p: Mapping[str, Array], config: C) -> tuple[Array, Array | None]:
        """Weight and bias of a plain layer that computes the same."""

    @abstractmethod
    def terms(self, p: Mapping[str, Array], config: C, site: Site) -> Terms:
        """The same as `forward`, as parts that a kernel computes for many adapters at once."""

    def dropout(self, config: C) -> float:
        """Share of the inputs that are dropped in training."""
        return 0.0
