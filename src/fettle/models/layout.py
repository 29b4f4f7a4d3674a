"""A loaded decoder's linear layers as an engine runs them: packed, in 8 or 4 bits, joined where inputs are shared."""

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from fettle.errors import InvalidInput
from fettle.models.decoder import Decoder
from fettle.models.int4 import Int4Linear, fits_int4
from fettle.models.int8 import Int8Linear, has_int8_products
from fettle.models.joined import Joined, PartLinear, concatenated
from fettle.models.packed import PackedLinear, is_packable
from fettle.types.decoder import DecoderConfig
from fettle.types.engine import Weights

LayOut = Callable[[nn.Linear], nn.Linear]
#: Layers of our own decoder that are asked one after the other with the same input.
_SHARING = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def laid_out(decoder: Decoder, weights: Weights) -> Decoder:
    """The decoder with every plain linear layer laid out, its head too; the plain weights are not kept.

    Raises:
        InvalidInput: fewer bits are asked for, and the processor or the family cannot.
    """
    check_weights(decoder.config, weights)
    lay_out, lay_out_head = _LAYOUTS[weights]
    if not decoder.config.is_foreign:
        for parent, names in list(_groups(decoder)):
            _join(parent, names, lay_out)
    for parent in list(decoder.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and _is_plain(child):
                setattr(parent, name, (lay_out_head if parent is decoder else lay_out)(child))
    return decoder


def check_weights(config: DecoderConfig, weights: Weights) -> None:
    """Raise if a model cannot be served so here.

    Raises:
        InvalidInput: the processor has no products of 8-bit numbers, or the model runs through `transformers`.
    """
    reason = ""
    if weights == "int8" and not has_int8_products():
        reason = "need a processor with AVX-512 VNNI, which this one has not"
    elif weights != "dtype" and config.is_foreign:
        reason = f"are for models of Fettle's own decoder, and a {config.family} runs through transformers"
    if reason:
        hint = "Serve the weights in their own number type: FETTLE_SERVING_WEIGHTS=dtype."
        raise InvalidInput(f"{weights} weights {reason}", hint=hint, param="serving_weights")


def _in_4_bits(linear: nn.Linear) -> nn.Linear:
    return Int4Linear(linear) if fits_int4(linear) else PackedLinear(linear)


#: How layers are laid out, and how the head is: there 4 bits would be felt most.
_LAYOUTS: Mapping[Weights, tuple[LayOut, LayOut]] = {
    "dtype": (PackedLinear, PackedLinear),
    "int8": (Int8Linear, Int8Linear),
    "int4": (_in_4_bits, PackedLinear),
}


def _groups(decoder: Decoder) -> Iterator[tuple[nn.Module, tuple[str, ...]]]:
    for module in decoder.modules():
        for names in _SHARING:
            if all(_is_plain(getattr(module, name, None)) for name in names):
                yield module, names


def _is_plain(module: object) -> bool:
    return type(module) is nn.Linear and is_packable(module.weight)


def _join(parent: nn.Module, names: tuple[str, ...], lay_out: LayOut) -> None:
    linears = [getattr(parent, name) for name in names]
    joined = Joined(lay_out(concatenated(linears)), [linear.out_features for linear in linears])
    for place, name in enumerate(names):
        setattr(parent, name, PartLinear(joined, place))
