"""A batch through the decoder, whatever its layout, from its tokens or from stored states."""

import numpy as np
import torch
from torch import Tensor

from fettle.data.choice_rows import ChoiceBatch
from fettle.data.packing import Batch, Ints
from fettle.models.attention import Attention, PackedAttention
from fettle.models.decoder import Decoder
from fettle.models.prefix_attention import SharedPrefixAttention
from fettle.models.virtual_tokens import BehindVirtualTokens, VirtualTokens

#: Batches are filled up to a multiple of this: matrix products are prepared once per shape, which costs more than
#: the spare tokens do.
ROUND = 64


def hidden(decoder: Decoder, batch: Batch, virtual: VirtualTokens | None = None) -> Tensor:
    """The states before the head, (T, C), and those of some tokens behind the last, which mean nothing.

    Args:
        decoder: that is run.
        batch: of any layout.
        virtual: tokens that every row comes after.
    """
    if batch.entering is None:
        return decoder.hidden(*prepared(decoder, batch, virtual))
    _, positions, attention = prepared(decoder, batch)
    stream = as_tensor(batch.entering.stream).to(positions.device)
    spare = stream.new_zeros(len(positions) - len(stream), stream.shape[1])
    return decoder.above(batch.entering.layer, torch.cat([stream, spare]), positions, attention)


def prepared(decoder: Decoder, batch: Batch, virtual: VirtualTokens | None = None) -> tuple[Tensor, Tensor, Attention]:
    """What the decoder asks for: tokens, positions, attention."""
    device, spare = decoder.lm_head.weight.device, -len(batch.tokens) % ROUND
    tokens, positions = padded(batch.tokens, spare, 0).to(device), padded(batch.positions, spare, 0).to(device)
    if virtual is None:
        return tokens, positions, _attention(decoder, batch, len(tokens), before=0)
    longer = _attention(decoder, batch, len(tokens) + virtual.count * batch.num_rows, before=virtual.count)
    return tokens, positions + virtual.count, BehindVirtualTokens(virtual, longer, batch.lengths, len(tokens))


def _attention(decoder: Decoder, batch: Batch, num_tokens: int, *, before: int) -> Attention:
    """Of the batch's rows, each with so many tokens before it."""
    device, windows = decoder.lm_head.weight.device, decoder.config.windows
    if isinstance(batch, ChoiceBatch):
        prefixes = [before + prefix for prefix in batch.prefixes]
        return SharedPrefixAttention(prefixes, batch.answers, windows, device, num_tokens)
    return PackedAttention([before + length for length in batch.lengths], windows, device, num_tokens)


def padded(values: Ints, count: int, fill: int) -> Tensor:
    """The values with `count` more of them."""
    return torch.from_numpy(np.pad(values, (0, count), constant_values=fill))


def as_tensor(stream: np.ndarray) -> Tensor:
    """Stored states as they were computed: uint16 holds the bits of bf16."""
    values = torch.from_numpy(stream)
    return values.view(torch.bfloat16) if stream.dtype == np.uint16 else values


def as_array(states: Tensor) -> np.ndarray:
    """States as they are stored."""
    values = states.detach().cpu().contiguous()
    return values.view(torch.uint16).numpy() if states.dtype == torch.bfloat16 else values.float().numpy()
