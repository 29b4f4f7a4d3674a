"""Prefix tuning: learned keys and values of every layer before every sequence. Source: arXiv 2101.00190.

They are learned directly, not through the paper's network: those of real tokens are a start that needs none.
"""

from collections.abc import Mapping, Sequence

from fettle.adapters.kinds.base import Array
from fettle.adapters.kinds.virtual import FrozenModel, VirtualConfig, VirtualKind
from fettle.types.decoder import DecoderConfig


class PrefixConfig(VirtualConfig):
    """Settings of prefix tuning."""


class Prefix(VirtualKind[PrefixConfig]):
    """`keys` and `values` are (L, P, K, D); keys are learned as they stand in a cache, turned by position."""

    name, config = "prefix", PrefixConfig

    def shapes(self, model: DecoderConfig, config: PrefixConfig) -> dict[str, tuple[int, ...]]:
        """A key and a value for each virtual token in every layer."""
        shape = (model.num_layers, config.num_virtual_tokens, model.num_kv_heads, model.head_dim)
        return {"keys": shape, "values": shape}

    def starts(self, token_ids: Sequence[int], model: FrozenModel) -> dict[str, Array]:
        """Those that the tokens give."""
        keys, values = model.keys_values(model.embeddings(token_ids))
        return {"keys": keys, "values": values}

    def keys_values(self, p: Mapping[str, Array], model: FrozenModel) -> tuple[Array, Array]:
        """As they are."""
        return p["keys"], p["values"]
