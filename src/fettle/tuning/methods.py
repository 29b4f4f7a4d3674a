"""What is trained: an adapter on chosen sites, or all weights; each makes a learner and writes what it learned."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.files import load_adapter, save_adapter
from fettle.adapters.inject import inject, layer_number
from fettle.adapters.kinds.base import AdapterConfig
from fettle.adapters.methods import METHODS
from fettle.adapters.start import go_on, start
from fettle.adapters.virtual import virtual_tokens
from fettle.data.packing import Batch
from fettle.errors import InvalidInput
from fettle.models.decoder import Decoder
from fettle.models.loading import load_decoder, save_decoder
from fettle.models.quantized import quantize
from fettle.models.tokenizer import Tokenizer
from fettle.models.virtual_tokens import VirtualTokens
from fettle.tuning.learner import Learner
from fettle.tuning.objectives import OBJECTIVES, Loss, Objective
from fettle.tuning.optimizers import OPTIMIZERS
from fettle.tuning.sharded import Sharded
from fettle.types.tuning import Hyperparameters, TuningSpec


class Trainee(ABC):
    """A model with the part of it that is trained."""

    decoder: Decoder
    compute_dtype: torch.dtype
    objective: Objective

    @property
    @abstractmethod
    def parameters(self) -> dict[str, Tensor]:
        """What is trained, by name."""

    @abstractmethod
    def loss(self, batch: Batch) -> Loss:
        """The objective's, of a batch."""

    def virtual(self) -> VirtualTokens | None:
        """What every row comes after, with gradients; None for nothing."""
        return None

    @abstractmethod
    def untuned(self, num_tokens: int) -> AbstractContextManager[object]:
        """Inside, a batch of this many tokens goes through the model as it was before."""

    @property
    @abstractmethod
    def first_layer(self) -> int:
        """The lowest layer that is trained: what those below it compute never changes."""

    @abstractmethod
    def release_below(self) -> None:
        """Free the memory of the layers below `first_layer`, which are not computed any more."""

    @abstractmethod
    def train_mode(self, is_training: bool) -> None:
        """Switch dropout."""

    @abstractmethod
    def write(self, folder: Path, *, base: Path, name: str) -> None:
        """Write what was learned as files that can be served."""

    def learner(self, settings: Hyperparameters) -> Learner:
        """The learner that the loop trains, with settings that a method has completed."""
        assert settings.learning_rate is not None, "completed settings have one"
        optimizer = OPTIMIZERS[settings.optimizer](list(self.parameters.values()), settings.learning_rate, settings)

        def begin_epoch(epoch: int) -> None:
            self.unfreeze(settings.layers_in(epoch, self.decoder.config.num_layers))

        return Learner(self.parameters, self.loss, self.objective.counts, [optimizer], self.train_mode, begin_epoch)

    def unfreeze(self, layers: range) -> None:
        """Train what belongs to these layers, or to none, from now on."""
        for name, value in self.parameters.items():
            number = layer_number(name)
            value.requires_grad_(number is None or number in layers)

    def save_memory(self) -> None:
        """Compute layers again when their gradients are asked for, instead of keeping what they made.

        Raises:
            InvalidInput: the model runs through modules that are not ours.
        """
        if self.decoder.config.is_foreign:
            raise InvalidInput(
                "the layers of this model's family cannot be computed again",
                hint="Lower max_tokens_per_batch to save memory, and leave gradient_checkpointing out.",
                param="gradient_checkpointing",
            )
        self.decoder.model.recomputing = self.again

    def again(self) -> AbstractContextManager[object]:
        """Inside, the present batch is computed as it is now."""
        return nullcontext()

    def arithmetic(self) -> AbstractContextManager[object]:
        """Matrix products in the compute type; sums and the loss in float32."""
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.compute_dtype == torch.bfloat16)


class AdapterTrainee(Trainee):
    """A frozen base with one adapter in slot 0."""

    def __init__(
        self,
        base: Path,
        kind: str,
        config: AdapterConfig,
        settings: Hyperparameters,
        objective: Objective,
        dtype: torch.dtype,
        quantization: str = "none",
        earlier: Path | None = None,
    ) -> None:
        self.objective = objective
        # A frozen base needs no float32 copy: it is kept in the type it is computed in.
        self.decoder, self.compute_dtype = load_decoder(base, dtype=dtype), dtype
        if quantization != "none":
            quantize(self.decoder, quantization)
        self.bank = AdapterBank()
        layers = settings.layers_in(settings.epochs - 1, self.decoder.config.num_layers)
        inject(self.decoder, self.bank)

        def encode(text: str) -> list[int]:
            return Tokenizer.load(base).encode(text)

        self.adapter = start(
            self.decoder, kind, config, encode=encode, seed=settings.seed, in_range=lambda n: n in layers
        )
        if earlier:
            go_on(self.adapter, load_adapter(earlier))
        self.slot = self.bank.add(self.adapter)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The adapter's."""
        return self.adapter.named_parameters()

    def loss(self, batch: Batch) -> Loss:
        """All tokens through the adapter's slot."""
        with self.arithmetic(), self.bank.route([(self.slot, len(batch.tokens))]):
            return self.objective.loss(self, batch)

    def virtual(self) -> VirtualTokens | None:
        """The adapter's, computed anew, for they change with every step; none where its slot is not in use."""
        return virtual_tokens(self.adapter, self.decoder) if self.bank.only == self.slot else None

    def untuned(self, num_tokens: int) -> AbstractContextManager[object]:
        """All tokens through the base's slot."""
        return self.bank.route([(BASE, num_tokens)])

    @property
    def first_layer(self) -> int:
        """The lowest that has an adapted site; virtual tokens act on all layers."""
        return min((layer_number(site) or 0 for site in self.adapter.sites), default=0)

    def again(self) -> AbstractContextManager[object]:
        """The bank knows slots and dropout."""
        return self.bank.again()

    def release_below(self) -> None:
        """The adapter's files are all that is written, so nobody needs them."""
        for layer in range(self.first_layer):
            self.decoder.model.layers[layer] = nn.Identity()

    def train_mode(self, is_training: bool) -> None:
        """Switch the adapter's dropout."""
        self.bank.is_training = is_training

    def write(self, folder: Path, *, base: Path, name: str) -> None:
        """PEFT's adapter files."""
        save_adapter(folder, self.adapter, base=name)


class FullTrainee(Trainee):
    """All weights of the layers in range, and with all layers the embeddings and the head too."""

    def __init__(self, base: Path, settings: Hyperparameters, objective: Objective, dtype: torch.dtype) -> None:
        self.objective = objective
        self.decoder, self.compute_dtype = load_decoder(base, dtype=torch.float32), dtype
        layers = settings.layers_in(settings.epochs - 1, self.decoder.config.num_layers)
        is_whole = len(settings.layers(self.decoder.config.num_layers)) == self.decoder.config.num_layers
        part = self.decoder if is_whole else self.decoder.model.layers[layers.start : layers.stop]
        self._first_layer = layers.start
        self._sharded: Sharded | None = None
        chosen = {id(value) for value in part.parameters()}
        self._parameters = {n: p.requires_grad_() for n, p in self.decoder.named_parameters() if id(p) in chosen}

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The chosen weights."""
        return dict(self._parameters)

    def loss(self, batch: Batch) -> Loss:
        """The plain model's."""
        return self._sharded.loss(batch) if self._sharded else self._plain_loss(batch)

    def _plain_loss(self, batch: Batch) -> Loss:
        with self.arithmetic():
            return self.objective.loss(self, batch)

    def shard(self, *, is_whole_in_step: bool) -> None:
        """Keep only this process's share of all weights, from now on (see `Sharded`).

        Raises:
            InvalidInput: the model's layers or the settings are not made for it.
        """
        if self.decoder.config.is_foreign:
            raise InvalidInput(
                "this model's weights cannot be shared out", hint="Use ddp (FETTLE_STRATEGY=ddp).", param="strategy"
            )
        self._sharded = Sharded(self.decoder, self._plain_loss, is_whole_in_step=is_whole_in_step)
        # Layers below are not computed apart from the others.
        self._first_layer = 0
        self._parameters = {name: value for name, value in self.decoder.named_parameters() if name in self._parameters}

    def bring_together(self) -> None:
        """Have the whole weights in every process, to be written."""
        if self._sharded:
            self._sharded.bring_together()

    def untuned(self, num_tokens: int) -> AbstractContextManager[object]:
        """There is no second copy of the weights to go back to."""
        raise InvalidInput("tuning all weights keeps no untuned model", hint="Tune an adapter.", param="method")

    @property
    def first_layer(self) -> int:
        """As set; training all layers trains the embeddings below them too."""
        return self._first_layer

    def release_below(self) -> None:
        """They are kept, for they are written too."""

    def train_mode(self, is_training: bool) -> None:
        """There is no dropout."""

    def write(self, folder: Path, *, base: Path, name: str) -> None:
        """A whole model folder."""
        save_decoder(self.decoder, folder, like=base)


def trainee_for(spec: TuningSpec, base: Path, dtype: torch.dtype, earlier: Path | None = None) -> Trainee:
    """What the spec's method trains, on the model in `base`; an adapter may begin with the one in `earlier`.

    Raises:
        NotFound: no such method.
        InvalidInput: settings of the adapter, the layers or the memory do not fit the model, or `earlier` not these.
    """
    settings = METHODS[spec.method].completed(spec.hyperparameters)
    trainee = _trainee(spec, settings, base, dtype, earlier)
    if settings.gradient_checkpointing:
        trainee.save_memory()
    return trainee


def _trainee(
    spec: TuningSpec, settings: Hyperparameters, base: Path, dtype: torch.dtype, earlier: Path | None
) -> Trainee:
    method = METHODS[spec.method]
    config = method.adapter_config(spec.adapter)
    objective, quantization = OBJECTIVES[method.objective](settings), quantization_of(spec)
    if method.kind is None or config is None:
        if quantization != "none":
            raise InvalidInput(
                f"method {method.name!r} changes the weights, so they cannot be held as {quantization}",
                hint="Tune an adapter, or leave quantization out.",
                param="quantization",
            )
        return FullTrainee(base, settings, objective, dtype)
    return AdapterTrainee(base, method.kind, config, settings, objective, dtype, quantization, earlier)


def quantization_of(spec: TuningSpec) -> str:
    """How the base is held: as set, else as the method has it."""
    return METHODS[spec.method].completed(spec.hyperparameters).quantization or "none"
