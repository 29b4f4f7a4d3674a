"""Rotary position embeddings: the angle of every position, and the rotation.

Source: RoFormer (arXiv 2104.09864); the llama3 stretch is Meta's, as in transformers' `modeling_rope_utils.py`.
Shapes: T tokens, H heads, D head dimension.
"""

import math
from typing import Any

import torch
from torch import Tensor

from fettle.types.decoder import Rope


def inverse_frequencies(rope: Rope, head_dim: int) -> Tensor:
    """The D/2 rotation speeds, in radians per position."""
    speeds = 1.0 / rope.theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim)
    if rope.type == "linear":
        return speeds / rope.factor
    return _llama3(speeds, rope) if rope.type == "llama3" else speeds


def _llama3(speeds: Tensor, rope: Rope) -> Tensor:
    wavelength = 2 * math.pi / speeds
    turns = rope.original_max_positions / wavelength
    smooth = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    blended = (1 - smooth) * speeds / rope.factor + smooth * speeds
    slow, fast = turns < rope.low_freq_factor, turns > rope.high_freq_factor
    return torch.where(slow, speeds / rope.factor, torch.where(fast, speeds, blended))


def angles(positions_T: Tensor, speeds: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine for every token, each (T, 1, D); computed in float32 whatever `dtype` is."""
    half = positions_T.float()[:, None] * speeds[None, :]
    both = torch.cat((half, half), dim=-1)[:, None, :]
    return both.cos().to(dtype), both.sin().to(dtype)


def rotate(x_THD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + D/2) of every head by its token's angle."""
    if not x_THD.requires_grad:
        return _turned(x_THD, cos, sin, 1)
    turned: Tensor = _Turned.apply(x_THD, cos, sin)  # type: ignore[no-untyped-call]
    return turned


class _Turned(torch.autograd.Function):
    """Its gradient is the turn back."""

    @staticmethod
    def forward(ctx: Any, x_THD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x_THD, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(gradients[0], cos, sin, -1), None, None


def _turned(x_THD: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    out, half = x_THD * cos, x_THD.shape[-1] // 2
    out[..., :half].addcmul_(x_THD[..., half:], sin[..., :half], value=-direction)
    out[..., half:].addcmul_(x_THD[..., :half], sin[..., half:], value=direction)
    return out
