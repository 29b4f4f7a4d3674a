"""How the base model that ships with Fettle is made: its tokenizer, its data and its training."""
