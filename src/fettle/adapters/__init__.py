"""What makes a model custom: kinds (the maths), linear, bank, inject, files."""
