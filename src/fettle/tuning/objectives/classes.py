"""Cross-entropy of a text's class."""

import torch.nn.functional as F
from torch import Tensor

from fettle.tuning.objectives.base import Loss


def classes(logits_NK: Tensor, targets_N: Tensor) -> Loss:
    """The loss of N texts among K classes; a class is to be predicted as a single token would be.

    The right class is the likeliest of its row in `num_ranked_first` of the rows, which is the accuracy.
    """
    nll = F.cross_entropy(logits_NK, targets_N, reduction="sum")
    num_right, num_rows = int((logits_NK.detach().argmax(-1) == targets_N).sum()), len(targets_N)
    return Loss(nll[None], num_right, num_rows, num_ranked_first=num_right, num_ranked=num_rows)
