"""Scores behind a head that is not trained: each token's gradient is known as soon as its score is.

Of a token with the state x and the target t, nll = logsumexp(W x) - W_t x, so its gradient is p W - W_t, whatever the
loss then makes of it. So logits exist for a few tokens at a time only, in the same memory each time, and nothing of
the size of the vocabulary is kept.
Shapes: N scored tokens, C hidden size, V vocabulary.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: Tokens whose logits exist at the same time.
CHUNK = 128


def scores(states_NC: Tensor, weight_VC: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Of each token its negative log-probability in nats, with a gradient for its state, and whether it was likeliest.

    Args:
        states_NC: the states before the head.
        weight_VC: of the head, frozen.
        targets_N: the right tokens; negative ones are not scored, and have 0.
    """
    nll, correct = _Scores.apply(states_NC, weight_VC, targets_N)  # type: ignore[no-untyped-call]
    return nll, correct


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states_NC: Tensor, weight_VC: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        with_gradients = ctx.needs_input_grad[0]
        parts = [
            _chunk(states, weight_VC, targets, with_gradients=with_gradients)
            for states, targets in zip(torch.split(states_NC, CHUNK), torch.split(targets_N, CHUNK), strict=True)
        ]
        nll, correct, *gradients = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(correct)
        return nll, correct

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (unit_NC,) = ctx.saved_tensors
        return (gradients[0][:, None] * unit_NC).to(unit_NC.dtype), None, None


def _chunk(states_NC: Tensor, weight_VC: Tensor, targets_N: Tensor, *, with_gradients: bool) -> tuple[Tensor, ...]:
    is_scored, targets = targets_N >= 0, targets_N.clamp(min=0)[:, None]
    wide_NV = _space(CHUNK, len(weight_VC), weight_VC.device)[: len(targets)]
    wide_NV.copy_(F.linear(states_NC, weight_VC))
    # Not argmax, which takes five times as long on a CPU.
    highest = wide_NV.max(-1, keepdim=True)
    of_target = wide_NV.gather(1, targets)
    sums = wide_NV.sub_(highest.values).exp_().sum(-1, keepdim=True)
    nll = (sums.log() + highest.values - of_target).squeeze(1) * is_scored
    correct = (highest.indices == targets).squeeze(1) & is_scored
    if not with_gradients:
        return nll, correct
    # Probabilities, less one at the target.
    wide_NV.mul_(is_scored[:, None] / sums).scatter_add_(1, targets, -is_scored[:, None].to(wide_NV.dtype))
    return nll, correct, (wide_NV.to(states_NC.dtype) @ weight_VC).to(states_NC.dtype)


@lru_cache(maxsize=1)
def _space(rows: int, columns: int, device: torch.device) -> Tensor:
    """Kept from batch to batch: to give it back and ask for it again would cost more than what is computed in it."""
    return torch.empty((rows, columns), device=device)
