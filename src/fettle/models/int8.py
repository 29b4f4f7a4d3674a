"""Linear layers in 8 bits for CPUs that multiply such numbers; to serve, not to train.

A row of the weight and every token have a scale each (W8A8, dynamic). The sums are of whole numbers, so they are exact:
what comes out for a token does not depend on what else is in its batch, and what is no number stays with its token.
Source: LLM.int8(), arXiv 2208.07339, section 2.1 (vector-wise), without its path for outliers.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

#: Inputs are whole numbers from 0 to 255, of which this one means 0.
_ZERO, _STEPS = 128, 127


class Int8Linear(nn.Linear):
    """Computes nearly what the layer that it is made of computes; holds no second copy of its weight."""

    def __init__(self, linear: nn.Linear) -> None:
        # Not Linear's, which makes a weight.
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self._packed = _packed(linear.weight.detach().float())

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(out, in) in float32, as far as it is known: a new tensor each time."""
        rounded, _ = torch.ops.quantized.linear_unpack(self._packed)
        weight: Tensor = rounded.dequantize()
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out), in the type of `x`."""
        wide = x.float()
        # For a row of zeros the quotient is no number; whatever it rounds to is multiplied by zero below.
        largest = torch.linalg.vector_norm(wide, torch.inf, dim=-1, keepdim=True)
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        out: Tensor = product(wide / largest, 1 / _STEPS, _ZERO, self._packed).mul_(largest).to(x.dtype)
        return out if self.bias is None else out.add_(self.bias)


def has_int8_products() -> bool:
    """Whether the processor sums products of 8-bit numbers without overflow; older ones saturate at 16 bits."""
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_vnni")) and "fbgemm" in torch.backends.quantized.supported_engines


def _packed(weight_OI: Tensor) -> Any:
    # A row of zeros needs some scale.
    scales = (weight_OI.abs().amax(1) / _STEPS).clamp(min=torch.finfo(torch.float32).tiny)
    zeros = torch.zeros(len(scales), dtype=torch.long)
    with warnings.catch_warnings(), _fbgemm():
        # It is deprecated in favour of a package that has no such product.
        warnings.simplefilter("ignore")
        rounded = torch.quantize_per_channel(weight_OI, scales, zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(rounded, None)


@contextmanager
def _fbgemm() -> Iterator[None]:
    """Inside, weights are laid out for the library whose products of few rows are the fastest here."""
    engines: Any = torch.backends.quantized
    before, engines.engine = engines.engine, "fbgemm"
    try:
        yield
    finally:
        engines.engine = before
