"""A causal language model that runs through `transformers`' modules, with the decoder's surface.

The modules keep their names, so weights and adapters are found by the names in their files. They are given one row of
tokens and no mask; how its queries meet keys and values is decided by the caller's attention, through
`transformers`' AttentionInterface.
Shapes: T tokens, N asked positions, C hidden size, H query heads, K key/value heads, D head dimension.
"""

from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from fettle.errors import UnsupportedModel
from fettle.models.attention import Attention
from fettle.models.decoder import Decoder
from fettle.types.decoder import DecoderConfig

#: By this name `transformers` knows the attention below.
INTERFACE = "fettle"
_NOW: ContextVar[tuple[Attention, DecoderConfig]] = ContextVar("attention")


def attention_interface(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, _: None, scaling: float | None = None, **given: Any
) -> tuple[Tensor, None]:
    """What `transformers` calls in every layer: (1, heads, T, D) each, to (1, T, H, D).

    Raises:
        UnsupportedModel: the layer asks for what the caller's attention does not do.
    """
    attention, config = _NOW.get()
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    _check(config, layer, key, given)
    q, k, v = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
    # The caller's attention divides by the root of D.
    factor = 1.0 if scaling is None else scaling * q.shape[-1] ** 0.5
    return attention(layer, q if factor == 1 else q * factor, k, v)[None], None


def _check(config: DecoderConfig, layer: int, key: Tensor, given: dict[str, Any]) -> None:
    faults = [f"layer {layer} asks for {name}" for name in ("softcap", "s_aux") if given.get(name) is not None]
    window, heads = given.get("sliding_window") or config.window(layer), (key.shape[1], key.shape[3])
    if window != config.window(layer):
        faults.append(f"layer {layer} sees {window} positions back, config.json says {config.window(layer)}")
    if heads != (config.num_kv_heads, config.head_dim):
        said = (config.num_kv_heads, config.head_dim)
        faults.append(f"layer {layer} has keys of (heads, dimension) {heads}, config.json says {said}")
    if faults:
        raise UnsupportedModel(f"this {config.family} cannot be run: {'; '.join(faults)}")


class ForeignDecoder(Decoder):
    """A model of `transformers` that is used as a decoder; nothing of the decoder's own modules is in it.

    Attributes:
        whole: the model, whose parts this has.
        transposed: names of the linear layers whose weights lie the other way round in the model's files.
    """

    whole: Any

    def __init__(self, model: Any, config: DecoderConfig, transposed: frozenset[str] = frozenset()) -> None:
        # Not Decoder's, which makes modules.
        nn.Module.__init__(self)
        self.config, self.transposed = config, transposed
        for name, child in model.named_children():
            self.add_module(name, child)
        # What follows are second names, and no modules of their own: `named_parameters` has each weight once.
        trunk, layers = model.base_model, _layers(model, config)
        trunk.__dict__.update(layers=layers, embed_tokens=model.get_input_embeddings())
        self.__dict__.update(whole=model, model=trunk, lm_head=_head(model))

    def tie(self) -> None:
        """It is tied when it is read."""

    @property
    def frozen_head(self) -> None:
        """None: some families change the logits behind the matrix."""

    def hidden(self, tokens_T: Tensor, positions_T: Tensor, attention: Attention) -> Tensor:
        """The states before the head, (T, C), for tokens at these positions of their own sequences."""
        return self._run(positions_T, attention, input_ids=tokens_T[None])

    def _run(self, positions_T: Tensor, attention: Attention, **entering: Tensor) -> Tensor:
        before = _NOW.set((attention, self.config))
        try:
            trunk: Any = self.model
            out: Tensor = trunk(**entering, position_ids=positions_T[None], use_cache=False)[0][0]
        finally:
            _NOW.reset(before)
        return out

    def below(self, cut: int, tokens_T: Tensor, positions_T: Tensor, attention: Attention) -> Tensor:
        """The residual stream as it enters layer `cut`, (T, C)."""
        layers = self.model.layers
        replaced, layers[cut] = layers[cut], _Stop()
        try:
            self.hidden(tokens_T, positions_T, attention)
        except _Reached as reached:
            return reached.stream_TC
        finally:
            layers[cut] = replaced
        raise RuntimeError(f"no layer {cut} was reached")

    def above(self, cut: int, x_TC: Tensor, positions_T: Tensor, attention: Attention) -> Tensor:
        """The states before the head, (T, C), from the stream that enters layer `cut`; for 0, from embeddings."""
        if not cut:
            # Some families scale embeddings, or add those of positions, before the first layer.
            return self._run(positions_T, attention, inputs_embeds=x_TC[None])
        layers = self.model.layers
        skipped = list(layers[:cut])
        for layer in range(cut):
            layers[layer] = _Enter(x_TC)
        try:
            return self.hidden(torch.zeros_like(positions_T), positions_T, attention)
        finally:
            for layer, module in enumerate(skipped):
                layers[layer] = module

    def head(self, states_NC: Tensor) -> Tensor:
        """Logits over the vocabulary, (N, vocab_size), in float32."""
        logits: Tensor = self.lm_head(states_NC)
        return logits.float()


class _Enter(nn.Module):
    """In the place of a layer that is not computed: what comes out of it is known."""

    def __init__(self, x_TC: Tensor) -> None:
        super().__init__()
        self._x_TC = x_TC

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        return self._x_TC[None]


class _Stop(nn.Module):
    """In the place of the first layer that is not computed, and above which nothing is."""

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        raise _Reached(x[0])


class _Reached(Exception):
    def __init__(self, stream_TC: Tensor) -> None:
        self.stream_TC = stream_TC


class ScaledHead(nn.Module):
    """A head whose logits are multiplied, or squeezed into a range."""

    def __init__(self, linear: nn.Linear, factor: float, cap: float | None) -> None:
        super().__init__()
        self.linear, self.factor, self.cap = linear, factor, cap

    @property
    def weight(self) -> Tensor:
        """(vocab_size, C)."""
        return self.linear.weight

    def forward(self, states_NC: Tensor) -> Tensor:
        """(N, C) to (N, vocab_size)."""
        logits = self.linear(states_NC) * self.factor
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


def _head(model: Any) -> nn.Module:
    """Its head, with what the model itself does to the logits afterwards."""
    settings, linear = model.config, model.get_output_embeddings()
    factor = getattr(settings, "logit_scale", None) or 1 / (getattr(settings, "logits_scaling", None) or 1)
    cap = getattr(settings, "final_logit_softcapping", None)
    return linear if factor == 1 and cap is None else ScaledHead(linear, factor, cap)


def _layers(model: Any, config: DecoderConfig) -> nn.ModuleList:
    """The outermost list of so many modules."""
    lists = (m for m in model.base_model.modules() if isinstance(m, nn.ModuleList) and len(m) == config.num_layers)
    return next(lists)
