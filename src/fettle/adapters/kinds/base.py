"""What an adapter kind is: settings, parameters at a site, `forward`, `merge`; written with operators only.

The trainer differentiates these files, the engine runs them, the control plane validates with them, and the tests run
them on NumPy in float64; so nothing here imports torch.
Shapes: `x` is (..., in_features), a weight (out_features, in_features), a result (..., out_features).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from fettle.types.record import Record

#: A torch tensor or a NumPy array.
Array = Any
Layer = Callable[[Array], Array]
C = TypeVar("C", bound="SiteConfig")


class AdapterConfig(Record):
    """The settings of a kind."""


class SiteConfig(AdapterConfig):
    """The settings that every kind at linear layers has."""

    target_modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """A linear layer that may be adapted: its module name, its sizes, and its frozen weight where there is one."""

    name: str
    in_features: int
    out_features: int
    weight: Array | None = field(default=None, compare=False, repr=False)

    @property
    def leaf(self) -> str:
        """The last part of the name, e.g. 'q_proj'."""
        return self.name.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class Start:
    """Shape of a parameter and what it is before training.

    'uniform' is within plus and minus `bound`, 'norms' are those of the rows of the site's frozen weight.
    """

    shape: tuple[int, ...]
    fill: Literal["zeros", "ones", "uniform", "norms"]
    bound: float = 0.0


@dataclass(frozen=True)
class Terms:
    """An adapter at one site as parts of two formulas; None is left out.

        z = s_out * W(s_in * x) + (x a^T) b^T
        y = z + activation(z down^T + down_bias) up^T + shift

    Every kind that can say this is served by one kernel in a mixed batch; `b` has the kind's scale in it.
    """

    s_in: Array | None = None
    s_out: Array | None = None
    a: Array | None = None
    b: Array | None = None
    down: Array | None = None
    down_bias: Array | None = None
    activation: Layer | None = None
    up: Array | None = None
    shift: Array | None = None


@dataclass(frozen=True)
class LowRank:
    """The change scale * B A beside a frozen layer, which is all that a kind does there."""

    a: Array
    b: Array
    scale: float


class Base(Protocol):
    """The frozen layer beneath an adapter, as a kind sees it."""

    @property
    def bias(self) -> Array | None:
        """(out,) or None."""

    def __call__(self, x: Array) -> Array:
        """W x, and the bias."""

    def norms(self, b: Array, a: Array) -> Array:
        """(out,), the norms of the rows of W + b a; a constant, through which no gradient flows."""


def row_norms(weight: Array) -> Array:
    """The length of each row."""
    return (weight * weight).sum(-1) ** 0.5


def keep(x: Array) -> Array:
    """The dropout of evaluation: none."""
    return x


class AdapterKind(ABC, Generic[C]):
    """A way to change what a linear layer computes by a few parameters.

    Attributes:
        is_mergeable: whether a plain linear layer can compute the same.
    """

    name: str
    config: type[C]
    is_mergeable: bool = True

    @abstractmethod
    def starts(self, site: Site, config: C) -> dict[str, Start]:
        """The parameters at a site; as they start, they change nothing."""

    @abstractmethod
    def forward(self, x: Array, base: Base, p: Mapping[str, Array], config: C, drop: Layer = keep) -> Array:
        """What the adapted layer computes for `x`."""

    @abstractmethod
    def merge(self, weight: Array, bias: Array | None, p: Mapping[str, Array], config: C) -> tuple[Array, Array | None]:
        """Weight and bias of a plain layer that computes the same.

        Raises:
            InvalidInput: there is none for this kind.
        """

    @abstractmethod
    def terms(self, p: Mapping[str, Array], config: C, base: Base) -> Terms:
        """The same as `forward`, as parts that a kernel computes for many adapters at once."""

    def low_rank(self, p: Mapping[str, Array], config: C) -> LowRank | None:
        """The same as `forward` where that is W x + scale B A drop(x) and no more; None where it is not."""
        return None

    def dropout(self, config: C) -> float:
        """Share of the inputs that are dropped in training."""
        return 0.0
