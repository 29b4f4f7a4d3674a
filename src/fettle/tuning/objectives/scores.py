"""What the model gives to the scored tokens of a batch, whatever its layout; losses are made of this."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fettle.data.packing import Batch
from fettle.models.decoder import Decoder
from fettle.models.virtual_tokens import VirtualTokens
from fettle.tuning.forward import ROUND, hidden, padded
from fettle.tuning.objectives import frozen_head

#: Scored places whose logits exist at the same time: their memory is this times the vocabulary.
CHUNK = 4096
IGNORED = -100


class Scores(NamedTuple):
    """Of each of N scored tokens, (N,): its negative log-probability in nats, and whether it was the likeliest."""

    nll: Tensor
    correct: Tensor


def token_scores(decoder: Decoder, batch: Batch, virtual: VirtualTokens | None = None) -> Scores:
    """Run the rows of a batch, behind virtual tokens where there are some, and score its targets.

    The head runs in chunks that are computed again in the backward pass, so the logits of a whole batch never exist.
    """
    unscored = -len(batch.at) % ROUND
    at, targets = padded(batch.at, unscored, 0), padded(batch.targets, unscored, IGNORED)
    states = hidden(decoder, batch, virtual)
    nll, correct = _scored(decoder, states.index_select(0, at.to(states.device)), targets.to(states.device))
    return Scores(nll[: len(batch.at)], correct[: len(batch.at)])


def _scored(decoder: Decoder, states_NC: Tensor, targets_N: Tensor) -> Scores:
    if (weight := decoder.frozen_head) is not None:
        return Scores(*frozen_head.scores(states_NC, weight, targets_N))
    needs_care = len(targets_N) > CHUNK and torch.is_grad_enabled()
    found = [
        checkpoint(_chunk, decoder, states, targets, use_reentrant=False)
        if needs_care
        else _chunk(decoder, states, targets)
        for states, targets in zip(torch.split(states_NC, CHUNK), torch.split(targets_N, CHUNK), strict=True)
    ]
    return Scores(torch.cat([nll for nll, _ in found]), torch.cat([correct for _, correct in found]))


def _chunk(decoder: Decoder, states_NC: Tensor, targets_N: Tensor) -> Scores:
    logits = decoder.head(states_NC)
    # Not argmax, which takes five times as long on a CPU.
    correct = logits.detach().max(-1).indices == targets_N
    return Scores(F.cross_entropy(logits, targets_N, reduction="none", ignore_index=IGNORED), correct)
