"""LoRA: a low-rank change beside the frozen weight, W x + scale B A x. Source: arXiv 2106.09685.

DoRA, an option: W + scale B A gives the directions of the rows, and their lengths m are learned. Source: arXiv
2402.09353.
"""

from collections.abc import Mapping

from pydantic import Field

from fettle.adapters.kinds.base import (
    AdapterKind,
    Array,
    Base,
    Layer,
    LowRank,
    Site,
    SiteConfig,
    Start,
    Terms,
    keep,
    row_norms,
)

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoRAConfig(SiteConfig):
    """Settings of LoRA."""

    rank: int = Field(default=32, ge=1, le=4096, description="rows of A and columns of B")
    alpha: float = Field(default=16.0, gt=0, description="the change is multiplied by alpha / rank")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="share of the inputs dropped in training")
    rank_stabilized: bool = Field(default=False, description="alpha / sqrt(rank) instead (arXiv 2312.03732)")
    dora: bool = Field(default=False, description="learn the lengths of the weight's rows too (arXiv 2402.09353)")
    target_modules: tuple[str, ...] = Field(default=ALL_LINEAR, min_length=1, description="linear layers to adapt")

    @property
    def scale(self) -> float:
        """What the low-rank change is multiplied by."""
        return float(self.alpha / (self.rank**0.5 if self.rank_stabilized else self.rank))


class LoRA(AdapterKind[LoRAConfig]):
    """A is (rank, in), B is (out, rank); B starts at zero. DoRA's m is (out,); it starts as the rows of W are."""

    name, config = "lora", LoRAConfig

    def starts(self, site: Site, config: LoRAConfig) -> dict[str, Start]:
        """A is uniform as in a fresh linear layer, as PEFT has it."""
        a = Start((config.rank, site.in_features), "uniform", bound=site.in_features**-0.5)
        low_rank = {"a": a, "b": Start((site.out_features, config.rank), "zeros")}
        return low_rank | {"m": Start((site.out_features,), "norms")} if config.dora else low_rank

    def forward(self, x: Array, base: Base, p: Mapping[str, Array], config: LoRAConfig, drop: Layer = keep) -> Array:
        """W x + scale B A x; with DoRA each row of both times m / norm."""
        y, dropped = base(x), drop(x)
        change = (config.scale * (dropped @ p["a"].mT)) @ p["b"].mT
        if "m" not in p:
            return y + change
        # As PEFT has it, dropout acts on all that differs from the base, the stretched W x too.
        plain = y if dropped is x else base(dropped)
        plain = plain if base.bias is None else plain - base.bias
        stretch = _stretch(p, config, base)
        return y + (stretch - 1) * plain + stretch * change

    def merge(
        self, weight: Array, bias: Array | None, p: Mapping[str, Array], config: LoRAConfig
    ) -> tuple[Array, Array | None]:
        """W + scale B A; with DoRA its rows have the lengths m."""
        changed = weight + config.scale * (p["b"] @ p["a"])
        return (_ratio(p["m"], row_norms(changed))[:, None] * changed if "m" in p else changed), bias

    def terms(self, p: Mapping[str, Array], config: LoRAConfig, base: Base) -> Terms:
        """A and scaled B; with DoRA the rows of W are stretched as those of B, and the bias is not."""
        b = config.scale * p["b"]
        if "m" not in p:
            return Terms(a=p["a"], b=b)
        stretch = _stretch(p, config, base)
        shift = None if base.bias is None else (1 - stretch) * base.bias
        return Terms(s_out=stretch, a=p["a"], b=stretch[:, None] * b, shift=shift)

    def low_rank(self, p: Mapping[str, Array], config: LoRAConfig) -> LowRank | None:
        """Without DoRA."""
        return None if "m" in p else LowRank(p["a"], p["b"], config.scale)

    def dropout(self, config: LoRAConfig) -> float:
        """As set."""
        return config.dropout


def _stretch(p: Mapping[str, Array], config: LoRAConfig, base: Base) -> Array:
    """m / norm, which multiplies every row."""
    return _ratio(p["m"], base.norms(config.scale * p["b"], p["a"]))


def _ratio(lengths: Array, norms: Array) -> Array:
    """0 for a row of zeros, which has no direction."""
    return lengths / (norms + (norms == 0))
