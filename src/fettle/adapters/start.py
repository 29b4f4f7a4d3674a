"""A fresh adapter of any kind for a model, or one that goes on where an earlier one ended."""

from collections.abc import Callable

import torch

from fettle.adapters.adapter import Adapter, fresh
from fettle.adapters.inject import choose, sites_of
from fettle.adapters.kinds.base import AdapterConfig, SiteConfig
from fettle.adapters.kinds.virtual import VirtualConfig
from fettle.adapters.virtual import Encode, fresh_virtual
from fettle.errors import InvalidInput
from fettle.models.decoder import Decoder

#: What of an adapter's settings concerns its training only: it may change on the way.
_OF_TRAINING = {"dropout", "init_text"}


def start(
    decoder: Decoder,
    kind: str,
    config: AdapterConfig,
    *,
    encode: Encode,
    seed: int,
    in_range: Callable[[int], bool] = lambda _: True,
) -> Adapter:
    """An untrained adapter for a decoder that `inject` has been called on.

    Args:
        decoder: that it will be trained with.
        kind: one of `KINDS`.
        config: the kind's settings.
        encode: a text to its tokens.
        seed: of what is random.
        in_range: which layers have adapted sites.

    Raises:
        InvalidInput: the settings do not fit the model.
    """
    if isinstance(config, VirtualConfig):
        return fresh_virtual(kind, config, decoder, encode, seed=seed)
    assert isinstance(config, SiteConfig), "a kind has sites or virtual tokens"
    return fresh(kind, config, choose(sites_of(decoder), config.target_modules, in_range), seed=seed)


def go_on(adapter: Adapter, earlier: Adapter) -> None:
    """Give a fresh adapter the parameters of an earlier one.

    Raises:
        InvalidInput: they differ in kind, settings or layers, so these parameters mean nothing there.
    """
    values, before = adapter.named_parameters(), earlier.named_parameters()
    faults = [*_differences(adapter, earlier)]
    if not faults and {n: v.shape for n, v in values.items()} != {n: v.shape for n, v in before.items()}:
        faults = [f"it is at {len(earlier.sites)} linear layers, and the new one at {len(adapter.sites)}"]
    if faults:
        raise InvalidInput(
            f"training cannot go on with this adapter: {'; '.join(faults)}",
            hint="Leave method, layers and the adapter's settings as they were, or begin anew.",
            param="continues",
        )
    with torch.no_grad():
        for name, value in values.items():
            value.copy_(before[name])


def _differences(adapter: Adapter, earlier: Adapter) -> list[str]:
    if adapter.kind != earlier.kind:
        return [f"it is {earlier.kind}, and the new one {adapter.kind}"]
    now, then = (one.config.model_dump(exclude=_OF_TRAINING) for one in (adapter, earlier))
    differing = [name for name in now if _plain(now[name]) != _plain(then[name])]
    return [f"its {name} is {then[name]}, and that of the new one {now[name]}" for name in differing]


def _plain(value: object) -> object:
    """Files do not keep the order of names."""
    return set(value) if isinstance(value, list | tuple) else value
