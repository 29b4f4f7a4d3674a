"""What the loop trains: named parameters, their optimizers, and the loss of a batch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fettle.data.packing import Batch
from fettle.tuning.checkpoint import State
from fettle.tuning.distributed import shared_like, whole
from fettle.tuning.objectives import Loss


@dataclass
class Learner:
    """Parameters with their loss and optimizers.

    Attributes:
        parameters: what is trained, by name.
        loss: of a batch, with gradients when they are enabled.
        counts: what each of the loss's terms is a mean over.
        optimizers: together they hold every parameter once; each group's `lr` at the start is its peak.
        train_mode: switches dropout on and off.
        begin_epoch: is told which epoch begins, from 0; an epoch may train more than the one before.
    """

    parameters: Mapping[str, Tensor]
    loss: Callable[[Batch], Loss]
    counts: Callable[[Batch], Sequence[int]]
    optimizers: list[torch.optim.Optimizer]
    train_mode: Callable[[bool], object] = lambda _: None
    begin_epoch: Callable[[int], object] = lambda _: None

    def __post_init__(self) -> None:
        self._peaks = [group["lr"] for group in self._groups()]

    def set_rate(self, share: float) -> float:
        """Set every group's rate to this share of its peak; returns the first group's."""
        for group, peak in zip(self._groups(), self._peaks, strict=True):
            group["lr"] = share * peak
        return float(self._peaks[0] * share)

    @property
    def peak_rate(self) -> float:
        """The first group's rate where the schedule is at its peak."""
        return self._peaks[0]

    def step(self, max_norm: float) -> float:
        """Clip the gradients, move the parameters, clear the gradients; returns the norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), max_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.clear_gradients()
        return float(whole(norm))

    def clear_gradients(self) -> None:
        """Forget what was accumulated."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> State:
        """Values and optimizer state, to be saved; whole, also where processes have shares of them."""
        values = {name: value.detach() for name, value in self.parameters.items()}
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        return {"parameters": whole(values), "optimizers": whole(optimizers)}

    def restore(self, state: State) -> None:
        """Put saved values and optimizer state back."""
        self.assign(state["parameters"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(_shared(saved, optimizer))

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the parameters' present values."""
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    def assign(self, values: Mapping[str, Tensor]) -> None:
        """Set the parameters to these values."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(shared_like(values[name], parameter))

    def _groups(self) -> Iterable[dict[str, float]]:
        return (group for optimizer in self.optimizers for group in optimizer.param_groups)


def _shared(saved: State, optimizer: torch.optim.Optimizer) -> State:
    """An optimizer's saved state in shares, where those of its parameters are."""
    values = [value for group in optimizer.param_groups for value in group["params"]]
    state = {
        number: {key: shared_like(one, values[number]) if isinstance(one, Tensor) else one for key, one in kept.items()}
        for number, kept in saved["state"].items()
    }
    return saved | {"state": state}
