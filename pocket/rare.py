"""Tokens that training hardly ever asked for get embeddings of their own.

All that such a token learns is not to be predicted, and that is the same for all of them: after a long training their
embeddings lie on one line (cosine 0.999), and no adapter could tell one from another. A random part of its own sets
each apart and leaves what was learned.
"""

from collections.abc import Iterable

import numpy as np
import torch

from fettle.data.packing import EncodedRows
from fettle.models.decoder import Decoder

#: Asked for less often than this, a token counts as rare.
RARE = 10
#: Length of the random part; the embeddings of other tokens are 2.5 long.
LENGTH = 1.5


def rare_tokens(seen: Iterable[tuple[EncodedRows, int]], vocab_size: int) -> torch.Tensor:
    """The ids that the first so many rows of some sets together ask for less than RARE times."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for rows, num_rows in seen:
        end = int(rows.offsets[min(num_rows, len(rows))])
        counts += np.bincount(rows.tokens[:end][rows.scored[:end] > 0], minlength=vocab_size)
    return torch.from_numpy(np.flatnonzero(counts < RARE))


@torch.no_grad()
def set_apart(decoder: Decoder, tokens: torch.Tensor, seed: int) -> None:
    """Add to each of these tokens' embeddings, which are the head's rows too, a random vector of its own."""
    weight = decoder.model.embed_tokens.weight
    generator = torch.Generator().manual_seed(seed)
    own = torch.randn(len(tokens), weight.shape[1], generator=generator)
    weight[tokens] += LENGTH * torch.nn.functional.normalize(own, dim=1).to(weight.dtype)
