"""BERT: the sentence encoder, used by training and by serving.

Everything is flat, as in the decoder: the tokens of all texts lie in one row, without padding.
Shapes: T tokens, N texts, C hidden size, H heads, D head dimension.
Module names are those of Hugging Face's BertModel, so weights and adapters are found by the names in their files.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fettle.models.attention import Attention, PackedAttention
from fettle.models.decoder import embedding
from fettle.types.decoder import Activation
from fettle.types.encoder import EncoderConfig

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


class DocumentAttention(PackedAttention):
    """Every token of a document sees all of it, and nothing of the others.

    Only documents of one length share a rectangle: what padding there would be could be seen by the real tokens.
    """

    FILL = 1.0
    IS_CAUSAL = False


class Embeddings(nn.Module):
    """What a token is, where it stands and that it is of the first sort of text, normalised."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.word_embeddings = embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = embedding(config.max_positions, config.hidden_size)
        self.token_type_embeddings = embedding(config.num_token_types, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, tokens_T: Tensor, positions_T: Tensor) -> Tensor:
        """(T, C)."""
        sort = self.token_type_embeddings.weight[0]
        out: Tensor = self.LayerNorm(self.word_embeddings(tokens_T) + self.position_embeddings(positions_T) + sort)
        return out


class SelfAttention(nn.Module):
    """Project to queries, keys and values, and attend."""

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.num_heads = layer, config.num_heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))

    def forward(self, x_TC: Tensor, attention: Attention) -> Tensor:
        """(T, C) to (T, C)."""
        q, k, v = (part(x_TC).unflatten(-1, (self.num_heads, -1)) for part in (self.query, self.key, self.value))
        return attention(self.layer, q, k, v).flatten(-2)


class Output(nn.Module):
    """Project, add to what came before, normalise."""

    def __init__(self, width: int, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)

    def forward(self, x: Tensor, before_TC: Tensor) -> Tensor:
        """(T, width) and (T, C) to (T, C)."""
        out: Tensor = self.LayerNorm(self.dense(x) + before_TC)
        return out


class AttentionBlock(nn.Module):
    """Attention with its output."""

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        # The name in the files; inside of this class `self` stays what it is.
        self.add_module("self", SelfAttention(config, layer))
        self.output = Output(config.hidden_size, config)

    def forward(self, x_TC: Tensor, attention: Attention) -> Tensor:
        """(T, C) to (T, C)."""
        out: Tensor = self.output(self.get_submodule("self")(x_TC, attention), x_TC)
        return out


class Intermediate(nn.Module):
    """The wide part of the feed-forward."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = _ACTIVATIONS[config.activation]

    def forward(self, x_TC: Tensor) -> Tensor:
        """(T, C) to (T, intermediate size)."""
        return self.act(self.dense(x_TC))


class Layer(nn.Module):
    """Attention and feed-forward, each added to what came before and normalised behind."""

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        self.attention = AttentionBlock(config, layer)
        self.intermediate = Intermediate(config)
        self.output = Output(config.intermediate_size, config)

    def forward(self, x_TC: Tensor, attention: Attention) -> Tensor:
        """(T, C) to (T, C)."""
        x_TC = self.attention(x_TC, attention)
        out: Tensor = self.output(self.intermediate(x_TC), x_TC)
        return out


class Layers(nn.Module):
    """All layers; the name of the list is the one in the files."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config, layer) for layer in range(config.num_layers))


class Encoder(nn.Module):
    """A sentence encoder."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)

    def forward(self, tokens_T: Tensor, positions_T: Tensor, attention: Attention) -> Tensor:
        """The states of the last layer, (T, C)."""
        x_TC: Tensor = self.embeddings(tokens_T, positions_T)
        for layer in self.encoder.layer:
            x_TC = layer(x_TC, attention)
        return x_TC

    def pooled(self, tokens_T: Tensor, lengths: Sequence[int], round_to: int = 1) -> Tensor:
        """The mean state of each of N texts that lie in a row, (N, C), in float32.

        Args:
            tokens_T: of all texts.
            lengths: of the texts; their sum is T.
            round_to: the row is filled up to a multiple of this; see `fettle.tuning.forward.ROUND`.
        """
        spare = -len(tokens_T) % round_to
        positions = torch.cat([*(torch.arange(length) for length in lengths), torch.zeros(spare, dtype=torch.long)])
        attention = DocumentAttention(lengths, num_tokens=len(positions))
        states = self(F.pad(tokens_T, (0, spare)), positions, attention)
        return mean_by_text(states[: len(tokens_T)], lengths)


def mean_by_text(states_TC: Tensor, lengths: Sequence[int]) -> Tensor:
    """The mean over each text's tokens, (N, C), in float32."""
    sizes = torch.tensor(lengths)
    sums = states_TC.new_zeros(len(lengths), states_TC.shape[-1], dtype=torch.float32)
    text_T = torch.arange(len(lengths)).repeat_interleave(sizes)
    return sums.index_add(0, text_T, states_TC.float()) / sizes[:, None]


def embeddings(pooled_NC: Tensor) -> Tensor:
    """The vectors of texts as sentence-transformers gives them: the mean states, of length 1."""
    return F.normalize(pooled_NC, dim=-1)
