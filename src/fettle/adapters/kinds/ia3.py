"""IA3: a learned vector multiplies a layer's outputs, or, in the feed-forward part, its inputs.

Source: arXiv 2205.05638.
"""

from collections.abc import Mapping

from pydantic import Field, model_validator

from fettle.adapters.kinds.base import AdapterKind, Array, Base, Layer, Site, SiteConfig, Start, Terms, keep


class IA3Config(SiteConfig):
    """Settings of IA3."""

    target_modules: tuple[str, ...] = Field(
        default=("k_proj", "v_proj", "down_proj"), min_length=1, description="linear layers to adapt"
    )
    feedforward_modules: tuple[str, ...] = Field(
        default=("down_proj",), description="those of them whose inputs, not outputs, are multiplied"
    )

    @model_validator(mode="after")
    def _feedforward_is_targeted(self) -> "IA3Config":
        if strays := sorted(set(self.feedforward_modules) - set(self.target_modules)):
            raise ValueError(f"feedforward_modules {strays} are not in target_modules")
        return self


class IA3(AdapterKind[IA3Config]):
    """`l` is (in,) at feed-forward sites and (out,) elsewhere; it starts at one."""

    name, config = "ia3", IA3Config

    def starts(self, site: Site, config: IA3Config) -> dict[str, Start]:
        """A vector of ones."""
        size = site.in_features if site.leaf in config.feedforward_modules else site.out_features
        name = "l_in" if site.leaf in config.feedforward_modules else "l_out"
        return {name: Start((size,), "ones")}

    def forward(
        self,
        x: Array,
        base: Base,
        p: Mapping[str, Array],
        config: IA3Config,
        drop: Layer = keep,
    ) -> Array:
        """W (l * x), or l * (W x)."""
        return base(p["l_in"] * x) if "l_in" in p else p["l_out"] * base(x)

    def merge(
        self,
        weight: Array,
        bias: Array | None,
        p: Mapping[str, Array],
        config: IA3Config,
    ) -> tuple[Array, Array | None]:
        """Columns, or rows and bias, multiplied."""
        if "l_in" in p:
            return weight * p["l_in"][None, :], bias
        return weight * p["l_out"][:, None], None if bias is None else bias * p["l_out"]

    def terms(self, p: Mapping[str, Array], config: IA3Config, base: Base) -> Terms:
        """The vector, on its side."""
        return Terms(s_in=p.get("l_in"), s_out=p.get("l_out"))
