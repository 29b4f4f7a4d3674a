"""Fettle: bring a base model and a JSONL file; get a custom model that is tuned, measured, versioned and served."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fettle.library import Model as Model
    from fettle.library import load as load
    from fettle.library import sweep as sweep
    from fettle.library import tune as tune
    from fettle.serving import Engine as Engine

__version__ = "0.1.0"

# Public name -> module; imported when first used, so that `import fettle` is instant.
_HOMES = dict.fromkeys(("tune", "sweep", "load", "Model"), "fettle.library") | {"Engine": "fettle.serving"}

__all__ = ["Engine", "Model", "load", "sweep", "tune"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fettle' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
