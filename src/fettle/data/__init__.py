"""Files -> examples -> tokens and loss mask -> packed, resumable batches."""
