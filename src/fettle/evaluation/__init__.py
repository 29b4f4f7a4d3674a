"""Metrics, and the runner that scores a model on a file of examples."""
