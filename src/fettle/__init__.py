"""Fettle: bring a base model and a JSONL file; get a custom model that is tuned, measured, versioned and served."""

__version__ = "0.1.0"
