"""Cross-entropy of the next token, on scored tokens only."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fettle.data.packing import Batch, Ints
from fettle.models.attention import PackedAttention
from fettle.models.decoder import Decoder
from fettle.tuning.objectives import Loss

#: Scored places whose logits exist at the same time: their memory is this times the vocabulary.
CHUNK = 4096
#: Batches are filled up to a multiple of this: matrix products are prepared once per shape, which costs more than
#: the spare tokens do.
ROUND = 128
IGNORED = -100


def next_token(decoder: Decoder, batch: Batch) -> Loss:
    """Run the packed rows and take the loss where a token is scored.

    The head runs in chunks that are computed again in the backward pass, so the logits of a whole batch never exist.
    """
    device = decoder.lm_head.weight.device
    spare, unscored = -len(batch.tokens) % ROUND, -len(batch.at) % ROUND
    tokens, at = _padded(batch.tokens, spare, 0), _padded(batch.at, unscored, 0)
    positions, targets = _padded(batch.positions, spare, 0), _padded(batch.targets, unscored, IGNORED)
    attention = PackedAttention(batch.lengths, decoder.config.windows, device, num_tokens=len(tokens))
    states = decoder.hidden(tokens.to(device), positions.to(device), attention).index_select(0, at.to(device))
    total, num_correct = _scored(decoder, states, targets.to(device))
    return Loss(total[None], num_correct, len(batch.at))


def _padded(values: Ints, count: int, fill: int) -> Tensor:
    return torch.from_numpy(np.pad(values, (0, count), constant_values=fill))


def _scored(decoder: Decoder, states_NC: Tensor, targets_N: Tensor) -> tuple[Tensor, int]:
    total, num_correct = states_NC.new_zeros((), dtype=torch.float32), 0
    for states, targets in zip(torch.split(states_NC, CHUNK), torch.split(targets_N, CHUNK), strict=True):
        if len(targets_N) > CHUNK and torch.is_grad_enabled():
            loss, correct = checkpoint(_chunk, decoder, states, targets, use_reentrant=False)
        else:
            loss, correct = _chunk(decoder, states, targets)
        total, num_correct = total + loss, num_correct + int(correct)
    return total, num_correct


def _chunk(decoder: Decoder, states_NC: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    logits = decoder.head(states_NC)
    # Not argmax, which takes five times as long on a CPU.
    correct = (logits.detach().max(-1).indices == targets_N).sum()
    return F.cross_entropy(logits, targets_N, reduction="sum", ignore_index=IGNORED), correct
