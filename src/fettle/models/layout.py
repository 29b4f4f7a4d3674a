"""A loaded decoder's linear layers as an engine runs them: packed or in 8 bits, joined where inputs are shared."""

from collections.abc import Callable, Iterator

from torch import nn

from fettle.models.decoder import Decoder
from fettle.models.int8 import Int8Linear, refuse_int8
from fettle.models.joined import Joined, PartLinear, concatenated
from fettle.models.packed import PackedLinear, is_packable
from fettle.types.engine import Weights

LayOut = Callable[[nn.Linear], nn.Linear]
#: Layers of our own decoder that are asked one after the other with the same input.
_SHARING = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def laid_out(decoder: Decoder, weights: Weights) -> Decoder:
    """The decoder with every plain linear layer laid out, its head too; the plain weights are not kept.

    Raises:
        InvalidInput: 8 bits are asked for, and the processor or the family cannot.
    """
    if weights == "int8":
        refuse_int8(decoder.config)
    lay_out: LayOut = Int8Linear if weights == "int8" else PackedLinear
    if not decoder.config.is_foreign:
        for parent, names in list(_groups(decoder)):
            _join(parent, names, lay_out)
    for parent in list(decoder.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and _is_plain(child):
                setattr(parent, name, lay_out(child))
    return decoder


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
