"""LoRA: a low-rank change beside the frozen weight, W x + scale B A x. Source: arXiv 2106.09685."""

from collections.abc import Mapping

from pydantic import Field

from fettle.adapters.kinds.base import AdapterConfig, AdapterKind, Array, Layer, Site, Start, Terms, keep

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoRAConfig(AdapterConfig):
    """Settings of LoRA."""

    rank: int = Field(default=32, ge=1, le=4096, description="rows of A and columns of B")
    alpha: float = Field(default=16.0, gt=0, description="the change is multiplied by alpha / rank")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="share of the inputs dropped in training")
    rank_stabilized: bool = Field(default=False, description="alpha / sqrt(rank) instead (arXiv 2312.03732)")
    target_modules: tuple[str, ...] = Field(default=ALL_LINEAR, min_length=1, description="linear layers to adapt")

    @property
    def scale(self) -> float:
        """What the low-rank change is multiplied by."""
        return float(self.alpha / (self.rank**0.5 if self.rank_stabilized else self.rank))


class LoRA(AdapterKind[LoRAConfig]):
    """A is (rank, in), B is (out, rank); B starts at zero."""

    name, config = "lora", LoRAConfig

    def starts(self, site: Site, config: LoRAConfig) -> dict[str, Start]:
        """A is uniform as in a fresh linear layer, as PEFT has it."""
        a = Start((config.rank, site.in_features), "uniform", bound=site.in_features**-0.5)
        return {"a": a, "b": Start((site.out_features, config.rank), "zeros")}

    def forward(self, x: Array, base: Layer, p: Mapping[str, Array], config: LoRAConfig, drop: Layer = keep) -> Array:
        """W x + scale B A x."""
        return base(x) + (config.scale * (drop(x) @ p["a"].mT)) @ p["b"].mT

    def merge(
        self, weight: Array, bias: Array | None, p: Mapping[str, Array], config: LoRAConfig
    ) -> tuple[Array, Array | None]:
        """W + scale B A."""
        return weight + config.scale * (p["b"] @ p["a"]), bias

    def terms(self, p: Mapping[str, Array], config: LoRAConfig, site: Site) -> Terms:
        """A and scaled B."""
        return Terms(a=p["a"], b=config.scale * p["b"])

    def dropout(self, config: LoRAConfig) -> float:
        """As set."""
        return config.dropout
