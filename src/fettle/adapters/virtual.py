"""Virtual tokens of adapters: what they start as, and the keys and values that a model gets of them."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from fettle.adapters.adapter import Adapter
from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.virtual import VirtualConfig, VirtualKind
from fettle.errors import InvalidInput
from fettle.models.decoder import Decoder
from fettle.models.virtual_tokens import VirtualTokens, made_of
from fettle.types.decoder import DecoderConfig

#: A text's tokens.
Encode = Callable[[str], Sequence[int]]


class _Frozen:
    """A decoder as kinds of virtual tokens see it."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def embeddings(self, token_ids: Sequence[int]) -> Tensor:
        """(P, C)."""
        weight = self._decoder.model.embed_tokens.weight
        return weight[torch.tensor(token_ids, device=weight.device)]

    def keys_values(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, each (L, P, K, D)."""
        made = made_of(self._decoder, embeddings)
        return made.keys, made.values


def virtual_tokens(adapter: Adapter, decoder: Decoder) -> VirtualTokens | None:
    """What an adapter puts before every sequence, with gradients where they are enabled; None for nothing."""
    kind = KINDS[adapter.kind]
    if not isinstance(kind, VirtualKind):
        return None
    return VirtualTokens(*kind.keys_values(adapter.virtual, _Frozen(decoder)))


def virtual_misfits(adapter: Adapter, model: DecoderConfig) -> Iterable[str]:
    """Why an adapter's virtual tokens cannot be used with a model; nothing if they can, or there are none."""
    kind = KINDS[adapter.kind]
    if not isinstance(kind, VirtualKind):
        return
    wanted = kind.shapes(model, adapter.config)
    found = {name: tuple(value.shape) for name, value in adapter.virtual.items()}
    if wanted != found:
        yield f"virtual tokens: shapes {found}, the model needs {wanted}"
    if adapter.num_virtual_tokens >= model.max_positions:
        yield f"virtual tokens: {adapter.num_virtual_tokens}, the model's context has {model.max_positions} positions"


@torch.no_grad()
def fresh_virtual(kind: str, config: VirtualConfig, decoder: Decoder, encode: Encode, *, seed: int) -> Adapter:
    """An untrained adapter (float32, gradients on) whose virtual tokens are a text's, or random ones.

    Raises:
        InvalidInput: the settings' text has no tokens, or too many.
    """
    maths = KINDS[kind]
    assert isinstance(maths, VirtualKind), "the kind that these settings belong to"
    token_ids = _first_tokens(config, decoder.config.vocab_size, encode, seed)
    starts = maths.starts(token_ids, _Frozen(decoder))
    return Adapter(kind, config, {}, {name: value.float().clone().requires_grad_() for name, value in starts.items()})


def _first_tokens(config: VirtualConfig, vocab_size: int, encode: Encode, seed: int) -> list[int]:
    """Tokens at random from the whole vocabulary, or the text's, over and over, as PEFT has it."""
    count = config.num_virtual_tokens
    if config.init_text is None:
        return torch.randint(vocab_size, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
    found = list(encode(config.init_text))
    if not 0 < len(found) <= count:
        raise InvalidInput(
            f"init_text has {len(found)} tokens; it should have 1 to {count}, the num_virtual_tokens",
            hint=f"Set num_virtual_tokens to {len(found)}, or shorten the text." if found else "Write some words.",
            param="init_text",
        )
    return (found * math.ceil(count / len(found)))[:count]
