"""Prompt tuning: learned embeddings before every sequence. Source: arXiv 2104.08691."""

from collections.abc import Mapping, Sequence

from fettle.adapters.kinds.base import Array
from fettle.adapters.kinds.virtual import FrozenModel, VirtualConfig, VirtualKind
from fettle.types.decoder import DecoderConfig


class PromptConfig(VirtualConfig):
    """Settings of prompt tuning."""


class Prompt(VirtualKind[PromptConfig]):
    """`embeddings` is (P, C); what the model makes of them does not depend on the sequence that follows."""

    name, config = "prompt", PromptConfig

    def shapes(self, model: DecoderConfig, config: PromptConfig) -> dict[str, tuple[int, ...]]:
        """One embedding for each virtual token."""
        return {"embeddings": (config.num_virtual_tokens, model.hidden_size)}

    def starts(self, token_ids: Sequence[int], model: FrozenModel) -> dict[str, Array]:
        """The tokens' own."""
        return {"embeddings": model.embeddings(token_ids)}

    def keys_values(self, p: Mapping[str, Array], model: FrozenModel) -> tuple[Array, Array]:
        """What the model makes of them."""
        return model.keys_values(p["embeddings"])
