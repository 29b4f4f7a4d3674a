"""What a kind of virtual tokens is: keys and values of positions before every sequence, which its tokens see.

As for `AdapterKind`, nothing here imports torch.
Shapes: P virtual tokens, L layers, K key/value heads, D head dimension, C hidden size.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from pydantic import Field

from fettle.adapters.kinds.base import AdapterConfig, Array
from fettle.types.decoder import DecoderConfig


class VirtualConfig(AdapterConfig):
    """The settings that every kind of virtual tokens has."""

    num_virtual_tokens: int = Field(
        default=20, ge=1, le=65_536, description="positions before every sequence; they take room in the context"
    )
    init_text: str | None = Field(
        default=None,
        min_length=1,
        description="text that they start as, over and over if it is short; None is tokens at random",
    )


C = TypeVar("C", bound=VirtualConfig)


class FrozenModel(Protocol):
    """The frozen model behind virtual tokens, as a kind sees it."""

    def embeddings(self, token_ids: Sequence[int]) -> Array:
        """(P, C)."""

    def keys_values(self, embeddings: Array) -> tuple[Array, Array]:
        """Keys and values, each (L, P, K, D), of embeddings at positions 0 to P - 1; gradients flow through them."""


class VirtualKind(ABC, Generic[C]):
    """A way to change what a model computes by a few positions before every sequence, whose tokens then begin at P.

    It acts on all layers at once, so it has no sites, and no weights could do the same.
    """

    name: str
    config: type[C]

    @abstractmethod
    def shapes(self, model: DecoderConfig, config: C) -> dict[str, tuple[int, ...]]:
        """Of the parameters, for a model."""

    @abstractmethod
    def starts(self, token_ids: Sequence[int], model: FrozenModel) -> dict[str, Array]:
        """The parameters with which the virtual tokens are these tokens of the vocabulary."""

    @abstractmethod
    def keys_values(self, p: Mapping[str, Array], model: FrozenModel) -> tuple[Array, Array]:
        """Keys and values, each (L, P, K, D), turned by position as those of other tokens are."""
