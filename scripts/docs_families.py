"""The page of families: which run through which modules, where their adapters are, and which do not run."""

from collections.abc import Mapping

from fettle.adapters.foreign_methods import foreign_methods
from fettle.adapters.kinds.base import SiteConfig
from fettle.adapters.methods import METHODS, Method
from fettle.types.decoder import FAMILIES, REFUSED
from fettle.types.encoder import ENCODER_FAMILIES
from fettle.types.foreign import FOREIGN

HEAD = """A base model's family is the `model_type` in its `config.json`. Some run through Fettle's own decoder, the
fastest way. The others run through the modules of `transformers` (`pip install 'fettle-ai[families]'`), with Fettle's
linear layers and attention in them: the same engine serves them and the same loop tunes them, and every step takes
longer. A test holds the logits of each to those of `transformers`.

| family | runs through | linear layers that `lora` adapts | `tfew` | `adapter` |
|---|---|---|---|---|
"""


def families() -> str:
    """All families, and those that are refused with the reason."""
    rows = [_row(name, "the decoder", METHODS) for name in FAMILIES]
    rows += [_row(name, "`transformers`", foreign_methods(name)) for name in FOREIGN]
    encoders = [
        f"| `{name}` | the sentence encoder | [its own methods](tuning.md) | | |\n" for name in ENCODER_FAMILIES
    ]
    refused = "".join(f"| `{name}` | {reason} |\n" for name, reason in REFUSED.items())
    told = "Gemma 2 runs only where its `attn_logit_softcapping` is null, which the published models do not have.\n"
    return f"{HEAD}{''.join(rows + encoders)}\n{told}\n| not supported | because |\n|---|---|\n{refused}"


def _row(name: str, way: str, methods: Mapping[str, Method]) -> str:
    targets = " | ".join(_targets(methods[method].adapter_config({})) for method in ("lora", "tfew", "adapter"))
    return f"| `{name}` | {way} | {targets} |\n"


def _targets(config: SiteConfig) -> str:
    return ", ".join(f"`{leaf}`" for leaf in config.target_modules)
