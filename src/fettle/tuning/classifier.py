"""What is trained to make a classifier: a head on a sentence encoder, and an adapter or weights of the encoder."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from fettle.adapters.adapter import Adapter, fresh
from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.classifiers import ClassifierMethod
from fettle.adapters.files import CONFIG, save_adapter
from fettle.adapters.inject import choose, inject, layer_number
from fettle.adapters.kinds.base import AdapterConfig
from fettle.data.packing import Batch
from fettle.models.encoder_files import load_encoder, save_encoder
from fettle.models.head import Head, save_head
from fettle.tuning.forward import ROUND
from fettle.tuning.learner import Learner
from fettle.tuning.objectives import Loss
from fettle.tuning.objectives.classes import classes
from fettle.tuning.optimizers import OPTIMIZERS
from fettle.types.tuning import Hyperparameters

#: How much faster than the encoder its head learns, which begins with nothing.
HEAD_RATE = 10.0


class Classifier:
    """A sentence encoder with a head.

    Attributes:
        encoder: reads texts.
        head: says of which class they are.
        adapter: what is trained of the encoder, if not its weights.
    """

    def __init__(
        self,
        base: Path,
        method: ClassifierMethod,
        config: AdapterConfig | None,
        settings: Hyperparameters,
        labels: tuple[str, ...],
        dtype: torch.dtype,
    ) -> None:
        """The model in `base` with a fresh head for `labels`.

        Raises:
            InvalidInput: settings of the adapter or the layer range do not fit the model.
        """
        self.encoder, self.compute_dtype, self.bank = load_encoder(base), dtype, AdapterBank()
        self.head = Head.fresh(self.encoder.config.hidden_size, labels, settings.seed)
        self.adapter = self._adapter(method, config, settings)
        self.slot = self.bank.add(self.adapter) if self.adapter else BASE
        self._weights = {} if self.adapter or method.is_head_only else self._chosen_weights(settings)

    @property
    def model(self) -> nn.Module:
        """Encoder and head as one module."""
        return nn.ModuleList([self.encoder, self.head])

    @property
    def parameters(self) -> dict[str, Tensor]:
        """What is trained, by name; the head comes last."""
        return self.body | dict(self.head.named_parameters())

    @property
    def body(self) -> dict[str, Tensor]:
        """What is trained of the encoder, by name."""
        return self.adapter.named_parameters() if self.adapter else dict(self._weights)

    @property
    def num_parameters(self) -> int:
        """Of the encoder, the head and the adapter."""
        added = [*self.head.parameters(), *(self.adapter.named_parameters().values() if self.adapter else ())]
        num_added: int = sum(value.numel() for value in added)
        return self.encoder.config.num_parameters + num_added

    def loss(self, batch: Batch) -> Loss:
        """The cross-entropy of a batch's classes."""
        tokens = torch.from_numpy(batch.tokens)
        with self._arithmetic(), self.bank.route([(self.slot, len(tokens))]):
            pooled = self.encoder.pooled(tokens, batch.lengths, ROUND)
        return classes(self.head(pooled), torch.from_numpy(batch.targets))

    def learner(self, settings: Hyperparameters) -> Learner:
        """The learner that the loop trains, with settings that the method has completed."""
        assert settings.learning_rate is not None, "completed settings have one"
        make, rate, head = OPTIMIZERS[settings.optimizer], settings.learning_rate, list(self.head.parameters())
        body = list(self.body.values())
        head_rate = rate * HEAD_RATE if body else rate
        optimizers = [*([make(body, rate, settings)] if body else []), make(head, head_rate, settings)]

        def begin_epoch(epoch: int) -> None:
            self.unfreeze(settings.layers_in(epoch, self.encoder.config.num_layers))

        return Learner(self.parameters, self.loss, _counts, optimizers, self.train_mode, begin_epoch)

    def unfreeze(self, layers: range) -> None:
        """Train what belongs to these layers, or to none, from now on."""
        for name, value in self.parameters.items():
            number = layer_number(name)
            value.requires_grad_(number is None or number in layers)

    def train_mode(self, is_training: bool) -> None:
        """Switch the adapter's dropout."""
        self.bank.is_training = is_training

    def write(self, folder: Path, *, base: Path, name: str) -> None:
        """The head; with it PEFT's adapter files, or a whole model folder, where those are trained."""
        if self.adapter:
            save_adapter(folder, self.adapter, base=name)
            _tell_peft(folder / CONFIG)
        elif self._weights:
            save_encoder(self.encoder, folder, like=base)
        save_head(self.head, folder)

    def _adapter(
        self, method: ClassifierMethod, config: AdapterConfig | None, settings: Hyperparameters
    ) -> Adapter | None:
        if method.kind is None or config is None:
            return None
        layers = settings.layers_in(settings.epochs - 1, self.encoder.config.num_layers)
        targets = config.model_dump()["target_modules"]
        sites = choose(inject(self.encoder, self.bank), targets, lambda number: number in layers)
        return fresh(method.kind, config, sites, seed=settings.seed)

    def _chosen_weights(self, settings: Hyperparameters) -> dict[str, Tensor]:
        """Those of the layers in range, and with all layers from the first epoch on the embeddings too."""
        num_layers = self.encoder.config.num_layers
        layers, is_whole = settings.layers_in(settings.epochs - 1, num_layers), len(settings.layers(num_layers))
        return {
            name: value.requires_grad_()
            for name, value in self.encoder.named_parameters()
            if (is_whole == num_layers if (number := layer_number(name)) is None else number in layers)
        }

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.compute_dtype == torch.bfloat16)


def _counts(batch: Batch) -> tuple[int, ...]:
    """The loss is a mean over the texts."""
    return (batch.num_rows,)


def _tell_peft(path: Path) -> None:
    """Say in PEFT's words that the adapter belongs to an encoder, whose layers stand in a list called `layer`."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields |= {"task_type": "FEATURE_EXTRACTION", "layers_pattern": "layer"}
    path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
