"""One decoder for all causal language models, its weights and its tokenizer."""
