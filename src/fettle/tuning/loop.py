"""The one training loop: steps, logs, evaluations, early stop, best parameters, checkpoints."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import Any

import torch

from fettle.data.packing import Batch, Rows, split_by_tokens
from fettle.errors import TrainingFailed
from fettle.tuning.checkpoint import Checkpoints
from fettle.tuning.learner import Learner
from fettle.tuning.objectives import Loss
from fettle.tuning.schedule import Schedule
from fettle.types.tuning import EvaluationEvent, Hyperparameters, MessageEvent, Metrics, StepEvent, TuningEvent

Emit = Callable[[TuningEvent], None]
#: The rows of each optimizer step of an epoch.
Plan = Callable[[int], Sequence[Sequence[int]]]
#: Every one of the first steps is logged, whatever the interval.
FIRST_STEPS = 20


@dataclass
class Tally:
    """The loss's terms with what they count, and accuracy, added up over batches."""

    terms: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    num_correct: int = 0
    num_tokens: int = 0
    num_ranked_first: int = 0
    num_ranked: int = 0

    @classmethod
    def of(cls, loss: Loss, counts: Sequence[int]) -> "Tally":
        """One batch's."""
        right = loss.num_correct, loss.num_tokens, loss.num_ranked_first, loss.num_ranked
        return cls(loss.terms.detach().tolist(), list(counts), *right)

    def merge(self, other: "Tally") -> None:
        """Count all that another has counted."""
        self.terms = [a + b for a, b in zip_longest(self.terms, other.terms, fillvalue=0.0)]
        self.counts = [a + b for a, b in zip_longest(self.counts, other.counts, fillvalue=0)]
        self.num_correct += other.num_correct
        self.num_tokens += other.num_tokens
        self.num_ranked_first += other.num_ranked_first
        self.num_ranked += other.num_ranked

    @property
    def loss(self) -> float:
        """The sum of the terms' means."""
        return sum(term / max(count, 1) for term, count in zip(self.terms, self.counts, strict=True))

    def metrics(self) -> Metrics:
        """Loss, and accuracy per token of the answers."""
        return Metrics(
            loss=self.loss,
            token_accuracy=self.num_correct / max(self.num_tokens, 1),
            num_tokens=self.num_tokens,
            choice_accuracy=self.num_ranked_first / self.num_ranked if self.num_ranked else None,
        )


@dataclass
class Progress:
    """Where a run stands; with the learner's state and the random state this is the whole checkpoint."""

    step: int = 0
    trained_tokens: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    reference_loss: float = math.inf
    num_without_improvement: int = 0
    is_stopped: bool = False
    since_evaluation: Tally = field(default_factory=Tally)
    train: Tally = field(default_factory=Tally)
    validation: Tally | None = None

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> "Progress":
        """The opposite of `dataclasses.asdict`."""
        tallies = {name: Tally(**value) for name, value in saved.items() if isinstance(value, dict)}
        return cls(**saved | tallies)


class Run:
    """One training run over packed rows.

    Args:
        learner: what is trained.
        rows: the training rows.
        plan: which rows each step of an epoch takes.
        validation: rows that are scored at every evaluation; None leaves that out, and the last values are kept.
        settings: the hyperparameters.
        schedule: the rate's share at each step.
        checkpoints: where the run's state is kept; a run that finds one goes on from there.
        emit: called with every event, in order.
    """

    def __init__(
        self,
        *,
        learner: Learner,
        rows: Rows,
        plan: Plan,
        validation: Rows | None,
        settings: Hyperparameters,
        schedule: Schedule,
        checkpoints: Checkpoints,
        emit: Emit,
    ) -> None:
        self.learner, self.rows, self.plan, self.validation = learner, rows, plan, validation
        self.settings, self.schedule, self.checkpoints, self.emit = settings, schedule, checkpoints, emit
        self._lengths = rows.lengths
        self._planned: tuple[int, Sequence[Sequence[int]]] = 0, plan(0)
        self.steps_per_epoch = len(self._planned[1])
        self.total_steps = self.steps_per_epoch * settings.epochs
        self.progress = Progress()
        self.best: dict[str, torch.Tensor] | None = None
        self._started = (0.0, 0, 0)

    def run(self) -> Progress:
        """Train to the end or the early stop, and leave the best parameters in the learner.

        Raises:
            TrainingFailed: the loss or a gradient is no number.
            StorageFailed: a checkpoint could not be written.
        """
        torch.manual_seed(self.settings.seed)
        self._resume()
        self._started = (time.monotonic(), self.progress.step, self.progress.trained_tokens)
        while self.progress.step < self.total_steps and not self.progress.is_stopped:
            self._advance()
        if self.best is not None:
            self.learner.assign(self.best)
        return self.progress

    def _advance(self) -> None:
        epoch, place = divmod(self.progress.step, self.steps_per_epoch)
        self._step(self._epoch_plan(epoch)[place])
        if self._is_evaluation(place):
            self._evaluate()
        if self.progress.step % self.settings.checkpoint_interval == 0 or self._is_over():
            self._save()

    def _epoch_plan(self, epoch: int) -> Sequence[Sequence[int]]:
        if self._planned[0] != epoch:
            self._planned = epoch, self.plan(epoch)
        return self._planned[1]

    def _is_over(self) -> bool:
        return self.progress.is_stopped or self.progress.step == self.total_steps

    def _step(self, rows: Sequence[int]) -> None:
        rate = self.learner.set_rate(self.schedule(self.progress.step, self.total_steps))
        self.learner.train_mode(True)
        tally = self._accumulate(rows)
        norm = self.learner.step(self.settings.max_gradient_norm)
        self.progress.step += 1
        self._refuse_nonsense(tally.loss, norm)
        self.progress.since_evaluation.merge(tally)
        self.progress.trained_tokens += int(self._lengths[list(rows)].sum())
        if self.progress.step <= FIRST_STEPS or self.progress.step % self.settings.log_interval == 0:
            self.emit(self._step_event(tally.metrics(), rate, norm))

    def _accumulate(self, rows: Sequence[int]) -> Tally:
        """Gradients of each term's mean over the whole step, however many pieces it is computed in."""
        pieces = self._pieces(rows)
        counts = [self.learner.counts(piece) for piece in pieces]
        shares = [1 / max(sum(parts), 1) for parts in zip(*counts, strict=True)]
        tally = Tally()
        for piece, count in zip(pieces, counts, strict=True):
            loss = self.learner.loss(piece)
            torch.autograd.backward(loss.terms @ loss.terms.new_tensor(shares))
            tally.merge(Tally.of(loss, count))
        return tally

    def _pieces(self, rows: Sequence[int]) -> list[Batch]:
        parts = split_by_tokens(rows, self._lengths, self.settings.max_tokens_per_batch)
        return [self.rows.pack(part) for part in parts]

    def _refuse_nonsense(self, loss: float, norm: float) -> None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingFailed(
                f"training diverged at step {self.progress.step}: loss {loss}, gradient norm {norm}",
                hint="Lower learning_rate, or use dtype=float32.",
            )

    def _step_event(self, metrics: Metrics, rate: float, norm: float) -> StepEvent:
        since, first_step, first_tokens = self._started
        seconds = max(time.monotonic() - since, 1e-9)
        seconds_per_step = seconds / (self.progress.step - first_step)
        return StepEvent(
            step=self.progress.step,
            total_steps=self.total_steps,
            epoch=self.progress.step / self.steps_per_epoch,
            loss=metrics.loss,
            token_accuracy=metrics.token_accuracy,
            learning_rate=rate,
            gradient_norm=norm,
            tokens_per_second=(self.progress.trained_tokens - first_tokens) / seconds,
            seconds_left=seconds_per_step * (self.total_steps - self.progress.step),
        )

    def _is_evaluation(self, place: int) -> bool:
        parts = min(self.settings.evaluations_per_epoch, self.steps_per_epoch)
        return place + 1 in {math.ceil(self.steps_per_epoch * part / parts) for part in range(1, parts + 1)}

    def _evaluate(self) -> None:
        progress = self.progress
        progress.train, progress.since_evaluation = progress.since_evaluation, Tally()
        if self.validation is None:
            return
        progress.validation = self._score(self.validation)
        train, validation = progress.train.metrics(), progress.validation.metrics()
        is_best = validation.loss < progress.best_loss
        if is_best:
            progress.best_loss, progress.best_step, self.best = validation.loss, progress.step, self.learner.snapshot()
        epoch = progress.step / self.steps_per_epoch
        self.emit(EvaluationEvent(step=progress.step, epoch=epoch, train=train, validation=validation, is_best=is_best))
        self._consider_stopping(validation.loss)

    @torch.no_grad()
    def _score(self, rows: Rows) -> Tally:
        self.learner.train_mode(False)
        tally = Tally()
        lengths = rows.lengths
        # Longest first: rows of like length share a rectangle of attention.
        order = sorted(range(len(rows)), key=lambda row: -int(lengths[row]))
        for part in split_by_tokens(order, lengths, self.settings.max_tokens_per_batch):
            batch = rows.pack(part)
            tally.merge(Tally.of(self.learner.loss(batch), self.learner.counts(batch)))
        return tally

    def _consider_stopping(self, loss: float) -> None:
        stopping, progress = self.settings.early_stopping, self.progress
        if loss < progress.reference_loss - stopping.threshold:
            progress.reference_loss, progress.num_without_improvement = loss, 0
            return
        progress.num_without_improvement += 1
        if stopping.patience and progress.num_without_improvement >= stopping.patience:
            progress.is_stopped = True
            self.emit(MessageEvent(text=self._stop_sentence(), code="early_stop"))

    def _stop_sentence(self) -> str:
        progress, threshold = self.progress, self.settings.early_stopping.threshold
        return (
            f"stopped early at step {progress.step} of {self.total_steps}: validation loss has not fallen by "
            f"{threshold} in {progress.num_without_improvement} evaluations; "
            f"the best was {progress.best_loss:.4f} at step {progress.best_step}"
        )

    def _save(self) -> None:
        random = torch.get_rng_state()
        self.checkpoints.save(
            {"progress": asdict(self.progress), "learner": self.learner.state(), "random": random, "best": self.best}
        )

    def _resume(self) -> None:
        if state := self.checkpoints.load():
            self.progress = Progress.restored(state["progress"])
            self.learner.restore(state["learner"])
            self.best = state["best"]
            torch.set_rng_state(state["random"])
            self.emit(MessageEvent(text=f"resumed at step {self.progress.step} of {self.total_steps}", code="resumed"))
