"""A fresh adapter of any kind for a model."""

from collections.abc import Callable

from fettle.adapters.adapter import Adapter, fresh
from fettle.adapters.inject import choose, sites_of
from fettle.adapters.kinds.base import AdapterConfig, SiteConfig
from fettle.adapters.kinds.virtual import VirtualConfig
from fettle.adapters.virtual import Encode, fresh_virtual
from fettle.models.decoder import Decoder


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
