"""A batch through the decoder, whatever its layout, from its tokens or from stored states."""

import numpy as np
import torch
from torch import Tensor

from fettle.data.choice_rows import ChoiceBatch
from fettle.data.packing import Batch, Ints
from fettle.models.attention import Attention, PackedAttention
from fettle.models.decoder import Decoder
from fettle.models.prefix_attention import SharedPrefixAttention

#: Batches are filled up to a multiple of this: matrix products are prepared once per shape, which costs more than
#: the spare tokens do.
ROUND = 128


def hidden(decoder: Decoder, batch: Batch) -> Tensor:
    """The states before the head, (T, C), and those of some tokens behind the last, which mean nothing."""
    if batch.entering is None:
        return decoder.hidden(*prepared(decoder, batch))
    _, positions, attention = prepared(decoder, batch)
    stream = as_tensor(batch.entering.stream).to(positions.device)
    spare = stream.new_zeros(len(positions) - len(stream), stream.shape[1])
    return decoder.above(batch.entering.layer, torch.cat([stream, spare]), positions, attention)


def prepared(decoder: Decoder, batch: Batch) -> tuple[Tensor, Tensor, Attention]:
    """What the decoder asks for: tokens, positions, attention."""
    device, windows = decoder.lm_head.weight.device, decoder.config.windows
    spare = -len(batch.tokens) % ROUND
    tokens, positions = padded(batch.tokens, spare, 0).to(device), padded(batch.positions, spare, 0).to(device)
    if isinstance(batch, ChoiceBatch):
        return tokens, positions, SharedPrefixAttention(batch.prefixes, batch.answers, windows, device, len(tokens))
    return tokens, positions, PackedAttention(batch.lengths, windows, device, len(tokens))


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
