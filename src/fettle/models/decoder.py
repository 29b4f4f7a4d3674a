"""The one transformer for causal language models, used by training and by serving; its families are configuration.

Everything is flat: the tokens of all sequences lie in one row, without padding and without a batch dimension.
Shapes: T tokens, N asked positions, C hidden size, H query heads, K key/value heads, D head dimension.
Module names are those of Hugging Face's Llama, so weights and adapters are found by the names in their files.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fettle.models.attention import Attention
from fettle.models.norm import RMSNorm
from fettle.models.rotary import angles, inverse_frequencies, rotate
from fettle.types.decoder import Activation, DecoderConfig

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


class SelfAttention(nn.Module):
    """Project to queries, keys and values, turn them by position, attend, project back."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        hidden, q, kv = config.hidden_size, config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self.q_proj = nn.Linear(hidden, q, bias=config.qkv_bias)
        self.k_proj = nn.Linear(hidden, kv, bias=config.qkv_bias)
        self.v_proj = nn.Linear(hidden, kv, bias=config.qkv_bias)
        self.o_proj = nn.Linear(q, hidden, bias=config.output_bias)
        if config.qk_norm:
            self.q_norm = RMSNorm(config.head_dim, eps=config.norm_eps)
            self.k_norm = RMSNorm(config.head_dim, eps=config.norm_eps)

    def forward(self, x_TC: Tensor, cos: Tensor, sin: Tensor, attention: Attention) -> Tensor:
        """(T, C) to (T, C)."""
        heads = (-1, self.config.head_dim)
        q, k, v = (project(x_TC).unflatten(-1, heads) for project in (self.q_proj, self.k_proj, self.v_proj))
        if self.config.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        cos, sin = cos.to(q.dtype), sin.to(q.dtype)
        attended = attention(self.layer, rotate(q, cos, sin), rotate(k, cos, sin), v)
        out: Tensor = self.o_proj(attended.flatten(-2))
        return out


class MLP(nn.Module):
    """The gated feed-forward part: down(act(gate(x)) * up(x))."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        hidden, wide, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = nn.Linear(hidden, wide, bias=bias)
        self.up_proj = nn.Linear(hidden, wide, bias=bias)
        self.down_proj = nn.Linear(wide, hidden, bias=bias)
        self.act = _ACTIVATIONS[config.activation]

    def forward(self, x_TC: Tensor) -> Tensor:
        """(T, C) to (T, C)."""
        out: Tensor = self.down_proj(self.act(self.gate_proj(x_TC)) * self.up_proj(x_TC))
        return out


class Layer(nn.Module):
    """Attention and feed-forward, each normalised before and added to the residual stream."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.self_attn = SelfAttention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, x_TC: Tensor, cos: Tensor, sin: Tensor, attention: Attention) -> Tensor:
        """(T, C) to (T, C)."""
        x_TC = x_TC + self.self_attn(self.input_layernorm(x_TC), cos, sin, attention)
        out: Tensor = x_TC + self.mlp(self.post_attention_layernorm(x_TC))
        return out


def embedding(count: int, size: int) -> nn.Embedding:
    """A table of `count` vectors, all zeros until it is filled.

    Drawing random ones, only to replace them, makes torch load its compiler: a second that each process would wait.
    """
    made: nn.Embedding = nn.Embedding.from_pretrained(torch.zeros(count, size), freeze=False)  # type: ignore[no-untyped-call]
    return made


class Trunk(nn.Module):
    """Embeddings, layers and the final norm.

    Attributes:
        recomputing: if given, nothing inside a layer is kept for its gradients, but computed again inside this
            context ("gradient checkpointing"): the memory of one layer instead of all, for about a third more time.
    """

    inverse_frequencies: Tensor
    recomputing: Callable[[], AbstractContextManager[object]] | None = None

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.embed_tokens = embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, layer) for layer in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, eps=config.norm_eps)
        with torch.device("cpu"):  # on "meta", too, arithmetic makes torch load its compiler
            frequencies = inverse_frequencies(config.rope, config.head_dim)
        self.register_buffer("inverse_frequencies", frequencies, persistent=False)

    def forward(self, tokens_T: Tensor, positions_T: Tensor, attention: Attention) -> Tensor:
        """The states before the head, (T, C)."""
        out: Tensor = self.norm(self.through(slice(None), self.embed_tokens(tokens_T), positions_T, attention))
        return out

    def through(self, layers: slice, x_TC: Tensor, positions_T: Tensor, attention: Attention) -> Tensor:
        """The residual stream behind some of the layers, (T, C)."""
        cos, sin = angles(positions_T, self.inverse_frequencies, x_TC.dtype)
        for layer in self.layers[layers]:
            x_TC = self._through_one(layer, x_TC, cos, sin, attention)
        return x_TC

    def _through_one(self, layer: nn.Module, *inputs: Tensor | Attention) -> Tensor:
        if self.recomputing is None or not torch.is_grad_enabled():
            out: Tensor = layer(*inputs)
            return out
        contexts = nullcontext(), self.recomputing()
        again: Tensor = checkpoint(layer, *inputs, use_reentrant=False, context_fn=lambda: contexts)
        return again


class Decoder(nn.Module):
    """A causal language model of any supported family."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()

    def tie(self) -> None:
        """Let the head use the embeddings' weights, if the family shares them (moving a model can part them)."""
        if self.config.tied_head:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights."""
        return self.model.embed_tokens.weight.dtype

    @property
    def frozen_head(self) -> Tensor | None:
        """(vocab_size, C), if this matrix alone makes logits of states and is not trained; else None."""
        head = self.lm_head
        is_matrix = type(head) is nn.Linear and head.bias is None
        return head.weight if is_matrix and not head.weight.requires_grad else None

    def hidden(self, tokens_T: Tensor, positions_T: Tensor, attention: Attention) -> Tensor:
        """The states before the head, (T, C), for tokens at these positions of their own sequences."""
        out: Tensor = self.model(tokens_T, positions_T, attention)
        return out

    def below(self, cut: int, tokens_T: Tensor, positions_T: Tensor, attention: Attention) -> Tensor:
        """The residual stream as it enters layer `cut`, (T, C)."""
        return self.model.through(slice(cut), self.model.embed_tokens(tokens_T), positions_T, attention)

    def above(self, cut: int, x_TC: Tensor, positions_T: Tensor, attention: Attention) -> Tensor:
        """The states before the head, (T, C), from the stream that enters layer `cut`."""
        out: Tensor = self.model.norm(self.model.through(slice(cut, None), x_TC, positions_T, attention))
        return out

    def head(self, states_NC: Tensor) -> Tensor:
        """Logits over the vocabulary, (N, vocab_size), in float32."""
        logits: Tensor = self.lm_head(states_NC)
        return logits.float()

    def forward(
        self, tokens_T: Tensor, positions_T: Tensor, attention: Attention, at_N: Tensor | None = None
    ) -> Tensor:
        """Logits in float32, (N, vocab_size): of the positions `at_N` only, for the head costs most; None is all."""
        states = self.hidden(tokens_T, positions_T, attention)
        return self.head(states if at_N is None else states[at_N])
