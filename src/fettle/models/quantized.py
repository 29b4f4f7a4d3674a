"""A frozen base in 4 or 8 bits: its linear layers are stored small and computed in the type of their inputs.

The arithmetic is bitsandbytes'. NF4 with double quantization: arXiv 2305.14314; int8: arXiv 2208.07339.
"""

import logging
from collections.abc import Callable
from typing import Any

from torch import nn

from fettle.errors import InvalidInput
from fettle.models.decoder import Decoder
from fettle.plugins import Table

Replace = Callable[[nn.Linear], nn.Module]


def quantize(decoder: Decoder, how: str) -> None:
    """Replace every linear layer inside the decoder's layers; embeddings, norms and the head stay as they are.

    Raises:
        NotFound: there is no such quantization.
        InvalidInput: its package is not installed.
    """
    replace = QUANTIZATIONS[how]
    for name, linear in list(decoder.model.layers.named_modules()):
        if isinstance(linear, nn.Linear):
            parent, _, leaf = name.rpartition(".")
            setattr(decoder.model.layers.get_submodule(parent), leaf, replace(linear))


def _nf4(linear: nn.Linear) -> nn.Module:
    bnb = _package()
    made = bnb.nn.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        compute_dtype=linear.weight.dtype,
        quant_type="nf4",
    )
    made.weight = bnb.nn.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True)
    return _finished(made, linear)


def _int8(linear: nn.Linear) -> nn.Module:
    bnb = _package()
    made = bnb.nn.Linear8bitLt(
        linear.in_features, linear.out_features, bias=linear.bias is not None, has_fp16_weights=False
    )
    made.weight = bnb.nn.Int8Params(linear.weight.data, requires_grad=False, has_fp16_weights=False)
    return _finished(made, linear)


def _finished(made: Any, linear: nn.Linear) -> nn.Module:
    made.bias = linear.bias
    # Moving is what makes bitsandbytes quantize. In evaluation mode it packs 4 bits in a way that has no gradient.
    module: nn.Module = made.to(linear.weight.device)
    return module.train()


def _package() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise InvalidInput(
            "a quantized base needs the package bitsandbytes, which is not installed",
            hint="pip install 'fettle-ai[qlora]'",
            param="quantization",
        ) from error
    # It says in every step that it casts what it is given.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    return bitsandbytes


QUANTIZATIONS: Table[Replace] = Table("quantization", "quantizations", {"nf4": _nf4, "int8": _int8})
