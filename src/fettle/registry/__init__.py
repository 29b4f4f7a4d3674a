"""Base models and custom models: what can be tuned and served."""
