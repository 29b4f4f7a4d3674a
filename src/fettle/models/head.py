"""The head of a classifier: a linear layer from what an encoder makes of a text to a score for each class."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fettle.errors import UnsupportedModel

HEAD_FILE = "head.safetensors"
_WEIGHT, _BIAS = "classifier.weight", "classifier.bias"


class Head(nn.Module):
    """Scores of classes.

    Attributes:
        labels: the classes' names, in the order of the scores.
    """

    def __init__(self, hidden_size: int, labels: Sequence[str]) -> None:
        super().__init__()
        self.labels = tuple(labels)
        self.classifier = nn.Linear(hidden_size, len(self.labels))

    @classmethod
    def fresh(cls, hidden_size: int, labels: Sequence[str], seed: int) -> "Head":
        """An untrained head: small weights, as BERT's own heads begin, and no bias."""
        head = cls(hidden_size, labels)
        generator = torch.Generator().manual_seed(seed)
        head.classifier.weight.data.normal_(std=0.02, generator=generator)
        head.classifier.bias.data.zero_()
        return head

    def forward(self, pooled_NC: Tensor) -> Tensor:
        """(N, C) mean states to (N, number of classes) logits, in float32."""
        with torch.autocast("cpu", enabled=False):
            logits: Tensor = self.classifier(pooled_NC)
        return logits


def save_head(head: Head, folder: Path) -> None:
    """Write a head with its labels; its weights have the names that `transformers` gives them."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {_WEIGHT: head.classifier.weight, _BIAS: head.classifier.bias}
    # The one fact: of several, safetensors writes one or the other first, and equal heads shall be equal files.
    about = {"labels": json.dumps(head.labels)}
    save_file({name: value.detach().contiguous() for name, value in weights.items()}, folder / HEAD_FILE, about)


def load_head(folder: Path, hidden_size: int) -> Head | None:
    """The head in a folder, for an encoder of this width, without gradients; None if there is none.

    Raises:
        UnsupportedModel: it is damaged or does not fit the encoder.
    """
    path = folder / HEAD_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            labels = json.loads(file.metadata()["labels"])
            weight, bias = file.get_tensor(_WEIGHT), file.get_tensor(_BIAS)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UnsupportedModel(f"{path} is damaged: {error}", hint="Tune the model again.") from error
    head = Head(hidden_size, labels)
    found, needed = (tuple(weight.shape), tuple(bias.shape)), ((len(labels), hidden_size), (len(labels),))
    if found != needed:
        raise UnsupportedModel(f"{path} has tensors of {found}; {len(labels)} classes on this encoder need {needed}")
    head.classifier.load_state_dict({"weight": weight, "bias": bias})
    return head.eval().requires_grad_(False)
