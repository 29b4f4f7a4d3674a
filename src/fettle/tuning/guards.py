"""Guards against runs that look fine and teach nothing, or something else than was asked."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from fettle.data.packing import Rows, split_by_tokens
from fettle.errors import InvalidInput, TrainingFailed
from fettle.tuning.learner import Learner
from fettle.types.tuning import MessageEvent, TuningEvent

Emit = Callable[[TuningEvent], None]
#: In a few steps, gradients reach even what stands behind parameters that begin with zeros.
FIRST_STEPS = 10
_TOKENS_AT_ONCE = 2**16


def check_rows(rows: Rows, what: str, emit: Emit, *, end_ids: Collection[int] | None = None) -> None:
    """Let rows through that have something to learn, and tell of those that have not.

    Args:
        rows: some.
        what: they are, e.g. "training".
        emit: called with a warning for what is suspicious.
        end_ids: tokens that end an answer; where they are given, it is told if none of them is learned.

    Raises:
        InvalidInput: no row has a token that is scored.
    """
    learned = _Learned.of(rows, end_ids or ())
    if learned.num_silent == len(rows):
        hint = "Every row needs an answer: a `completion`, or an assistant's turn whose weight is not 0."
        raise InvalidInput(f"none of the {len(rows):,} {what} rows has a token to learn", hint=hint, param="train")
    if learned.num_silent:
        text = f"{learned.num_silent:,} of {len(rows):,} {what} rows have no token to learn and teach nothing"
        emit(MessageEvent(level="warning", text=text, code="rows_without_answer"))
    if end_ids is not None and not learned.num_ends:
        text = (
            f"none of the {learned.num_tokens:,} learned tokens of {len(rows):,} {what} rows ends an answer: "
            "the model will not learn when to stop"
        )
        emit(MessageEvent(level="warning", text=text, code="no_end_learned"))


@dataclass
class _Learned:
    """How many rows have no scored token, how many tokens are scored, and how many of these end an answer."""

    num_silent: int = 0
    num_tokens: int = 0
    num_ends: int = 0

    @classmethod
    def of(cls, rows: Rows, end_ids: Collection[int]) -> "_Learned":
        found, ends = cls(), np.array(sorted(end_ids), dtype=np.int64)
        for part in split_by_tokens(range(len(rows)), rows.lengths, _TOKENS_AT_ONCE):
            batch = rows.pack(part)
            rows_with = np.searchsorted(np.cumsum(batch.lengths), batch.at, side="right")
            found.num_silent += batch.num_rows - len(np.unique(rows_with))
            found.num_tokens += len(batch.targets)
            found.num_ends += int(np.isin(batch.targets, ends).sum())
        return found


def check_trained(learner: Learner, model: nn.Module) -> None:
    """Let a learner through that trains what it says: all of it, and nothing else.

    Raises:
        TrainingFailed: it would train more, less or nothing.
    """
    trained = {id(value) for value in learner.parameters.values()}
    moved = {id(v) for optimizer in learner.optimizers for group in optimizer.param_groups for v in group["params"]}
    beside = [(name, v) for name, v in model.named_parameters() if id(v) not in trained]
    more = [name for name, v in beside if v.requires_grad or id(v) in moved]
    less = [name for name, v in learner.parameters.items() if id(v) not in moved or not v.requires_grad]
    faults = [
        *_told(more, "would be trained unasked"),
        *_told(less, "would not be trained though asked"),
    ]
    if not trained:
        faults.append("there is no parameter to train")
    if faults:
        raise TrainingFailed("\n".join(faults), hint="This is a fault of the method's code, not of your settings.")


def _told(names: Sequence[str], fault: str) -> list[str]:
    return [f"{len(names):,} parameters {fault}, for example {names[0]}"] if names else []


class GradientWatch:
    """Sees in the first steps whether gradients reach what is trained."""

    def __init__(self, parameters: Mapping[str, Tensor], emit: Emit) -> None:
        """A watch over these parameters, which tells by `emit` what stays without gradient."""
        self._parameters, self._emit = parameters, emit
        self._silent, self._num_steps = set(parameters), 0

    def see(self, *, is_last_step: bool) -> None:
        """Look at the gradients of a step.

        Raises:
            TrainingFailed: in all the first steps, no parameter has had one.
        """
        if not self._silent:
            return
        self._num_steps += 1
        self._silent = {name for name in self._silent if not _has_gradient(self._parameters[name])}
        # After a single step, LoRA's inner matrices have none yet: the outer ones begin with zeros.
        is_sure = self._num_steps > 1 or len(self._silent) == len(self._parameters)
        if self._silent and is_sure and (is_last_step or self._num_steps == FIRST_STEPS):
            self._tell()
            self._silent.clear()

    def _tell(self) -> None:
        count, steps = len(self._parameters), self._num_steps
        if len(self._silent) == count:
            raise TrainingFailed(
                f"none of the {count:,} trained parameters has had a gradient in {steps} steps: "
                "what is trained takes no part in what the model computes",
                hint="This is a fault of the method's code, not of your settings.",
            )
        text = (
            f"{len(self._silent):,} of {count:,} trained parameters have had no gradient in {steps} steps "
            f"and stay as they are, for example {min(self._silent)}"
        )
        self._emit(MessageEvent(level="warning", text=text, code="no_gradient"))


def _has_gradient(value: Tensor) -> bool:
    # What is trained from a later epoch on has none yet, and that is as it should be.
    return not value.requires_grad or (value.grad is not None and bool(value.grad.any()))
