"""Cross-entropy of the next token, on scored tokens only."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fettle.data.packing import Batch
from fettle.models.attention import PackedAttention
from fettle.models.decoder import Decoder
from fettle.tuning.objectives import Loss

#: Scored places whose logits exist at the same time: their memory is this times the vocabulary.
CHUNK = 4096


def next_token(decoder: Decoder, batch: Batch) -> Loss:
    """Run the packed rows and take the loss where a token is scored.

    The head runs in chunks that are computed again in the backward pass, so the logits of a whole batch never exist.
    """
    device = decoder.lm_head.weight.device
    tokens, positions, at, targets = (
        torch.from_numpy(array).to(device) for array in (batch.tokens, batch.positions, batch.at, batch.targets)
    )
    attention = PackedAttention(batch.lengths, decoder.config.windows, device)
    states = decoder.hidden(tokens, positions, attention).index_select(0, at)
    return _scored(decoder, states, targets)


def _scored(decoder: Decoder, states_NC: Tensor, targets_N: Tensor) -> Loss:
    total, num_correct = states_NC.new_zeros((), dtype=torch.float32), 0
    for states, targets in zip(torch.split(states_NC, CHUNK), torch.split(targets_N, CHUNK), strict=True):
        if len(targets_N) > CHUNK and torch.is_grad_enabled():
            loss, correct = checkpoint(_chunk, decoder, states, targets, use_reentrant=False)
        else:
            loss, correct = _chunk(decoder, states, targets)
        total, num_correct = total + loss, num_correct + int(correct)
    return Loss(total, num_correct, len(targets_N))


def _chunk(decoder: Decoder, states_NC: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    logits = decoder.head(states_NC)
    correct = (logits.detach().argmax(-1) == targets_N).sum()
    return F.cross_entropy(logits, targets_N, reduction="sum"), correct
