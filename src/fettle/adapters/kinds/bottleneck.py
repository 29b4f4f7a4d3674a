"""Bottleneck adapters: a narrow layer behind a linear one, y + up(activation(down(y))) with y = W x.

Source: arXiv 1902.00751; behind the feed-forward part only, as in arXiv 2005.00247, with target_modules down_proj.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from fettle.adapters.kinds.base import AdapterKind, Array, Base, Layer, Site, SiteConfig, Start, Terms, keep
from fettle.errors import InvalidInput

_E = 2.718281828459045


class BottleneckConfig(SiteConfig):
    """Settings of bottleneck adapters."""

    size: int = Field(default=64, ge=1, le=65_536, description="numbers that the narrow layer has")
    activation: Literal["relu", "gelu", "silu"] = Field(
        default="relu", description="of the narrow layer; gelu is its tanh form"
    )
    target_modules: tuple[str, ...] = Field(
        default=("o_proj", "down_proj"), min_length=1, description="linear layers that an adapter is put behind"
    )


class Bottleneck(AdapterKind[BottleneckConfig]):
    """down is (size, out), up is (out, size), each with a bias; up and the biases start at zero."""

    name, config = "bottleneck", BottleneckConfig
    is_mergeable = False

    def starts(self, site: Site, config: BottleneckConfig) -> dict[str, Start]:
        """down is uniform as in a fresh linear layer."""
        width = site.out_features
        return {
            "down": Start((config.size, width), "uniform", bound=width**-0.5),
            "down_bias": Start((config.size,), "zeros"),
            "up": Start((width, config.size), "zeros"),
            "up_bias": Start((width,), "zeros"),
        }

    def forward(
        self, x: Array, base: Base, p: Mapping[str, Array], config: BottleneckConfig, drop: Layer = keep
    ) -> Array:
        """y + up(activation(down(y))), y = W x."""
        y = base(x)
        narrow = ACTIVATIONS[config.activation](y @ p["down"].mT + p["down_bias"])
        return y + (narrow @ p["up"].mT + p["up_bias"])

    def merge(
        self, weight: Array, bias: Array | None, p: Mapping[str, Array], config: BottleneckConfig
    ) -> tuple[Array, Array | None]:
        """There is no such layer: the activation is in between."""
        raise InvalidInput(
            f"a bottleneck adapter cannot be merged into a weight: {config.activation} is between its two layers",
            hint="Serve it beside its base model, or tune with method lora, which can be merged.",
        )

    def terms(self, p: Mapping[str, Array], config: BottleneckConfig, base: Base) -> Terms:
        """The two layers."""
        activation = ACTIVATIONS[config.activation]
        return Terms(down=p["down"], down_bias=p["down_bias"], activation=activation, up=p["up"], shift=p["up_bias"])


def relu(x: Array) -> Array:
    """x where it is positive, else 0."""
    return x * (x > 0)


def silu(x: Array) -> Array:
    """x sigmoid(x)."""
    return x * _sigmoid(x)


def gelu(x: Array) -> Array:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2; the half is a sigmoid of twice the argument."""
    return x * _sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))


def _sigmoid(x: Array) -> Array:
    # The exponent is never positive: nothing overflows, and no gradient is 0 times infinity.
    small = _E ** -abs(x)
    return ((x >= 0) + (x < 0) * small) / (1 + small)


ACTIVATIONS: dict[str, Layer] = {"relu": relu, "gelu": gelu, "silu": silu}
