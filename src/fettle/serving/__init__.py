"""Sequence -> scheduler -> blocks, adapter pool -> runner -> sampler -> detokenizer; the engine."""

from fettle.serving.engine import Engine
from fettle.serving.settings import EngineSettings

__all__ = ["Engine", "EngineSettings"]
