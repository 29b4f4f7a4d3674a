"""Virtual tokens: keys and values before every sequence that come from no text; its own tokens see and follow them.

Shapes: P virtual tokens, T tokens of all documents, L layers, C hidden size, H query heads, K key/value heads, D head
dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fettle.models.attention import Attention, PackedAttention
from fettle.models.decoder import Decoder


@dataclass(frozen=True)
class VirtualTokens:
    """Positions 0 to P - 1 as a cache holds them: keys are turned by position.

    Attributes:
        keys: (L, P, K, D).
        values: (L, P, K, D).
    """

    keys: Tensor
    values: Tensor

    @property
    def count(self) -> int:
        """How many there are; a sequence's own tokens begin at this position."""
        return self.keys.shape[1]

    @property
    def size_bytes(self) -> int:
        """Memory that they take."""
        return 2 * self.keys.numel() * self.keys.element_size()


def made_of(decoder: Decoder, embeddings_PC: Tensor) -> VirtualTokens:
    """What the decoder makes of embeddings at positions 0 to P - 1; gradients flow through it."""
    count, device = len(embeddings_PC), embeddings_PC.device
    attention = _Keeping(PackedAttention([count], decoder.config.windows, device))
    decoder.above(0, embeddings_PC.to(decoder.dtype), torch.arange(count, device=device), attention)
    return VirtualTokens(torch.stack(attention.keys), torch.stack(attention.values))


class _Keeping:
    """Another attention, whose keys and values are kept, layer by layer."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def __call__(self, layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        self.keys.append(k_TKD)
        self.values.append(v_TKD)
        return self._attention(layer, q_THD, k_TKD, v_TKD)


class BehindVirtualTokens:
    """Attention of documents that all come after the same virtual tokens; equal to a copy of these before each.

    That is how it is computed: copies let windows and the fast causal kernel apply as they are.

    Args:
        virtual: the tokens.
        attention: of documents that are longer by so many tokens.
        lengths: of the documents without them.
        num_tokens: with those after the last document, which mean nothing.
    """

    def __init__(self, virtual: VirtualTokens, attention: Attention, lengths: Sequence[int], num_tokens: int) -> None:
        self._virtual, self._attention = virtual, attention
        device = virtual.keys.device
        self._take, self._put = (t.to(device) for t in _indices(virtual.count, lengths, num_tokens))

    def __call__(self, layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """The attended values, (T, H, D)."""
        # What virtual tokens would ask is known already: the answer is in the keys and values of the layers above.
        nothing = q_THD.new_zeros(self._virtual.count, *q_THD.shape[1:])
        before = nothing, self._virtual.keys[layer], self._virtual.values[layer]
        pairs = zip(before, (q_THD, k_TKD, v_TKD), strict=True)
        longer = [torch.cat([first.to(own.dtype), own]).index_select(0, self._take) for first, own in pairs]
        return self._attention(layer, *longer).index_select(0, self._put)


def _indices(count: int, lengths: Sequence[int], num_tokens: int) -> tuple[Tensor, Tensor]:
    """Of [virtual tokens, documents' tokens], which fills each place of the longer row, and where the latter lie."""
    documents = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    copies_before = torch.full((num_tokens,), len(lengths))
    copies_before[: len(documents)] = documents + 1
    put = torch.arange(num_tokens) + count * copies_before
    is_own = torch.zeros(num_tokens + count * len(lengths), dtype=torch.bool)
    is_own[put] = True
    take = torch.empty(len(is_own), dtype=torch.long)
    take[is_own] = torch.arange(num_tokens) + count
    take[~is_own] = torch.arange(count).repeat(len(lengths))
    return take, put
