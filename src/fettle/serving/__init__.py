"""Sequence -> scheduler -> blocks, adapter pool -> runner -> sampler -> detokenizer; the engine."""
