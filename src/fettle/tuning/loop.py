"""The one training loop: steps, logs, evaluations, early stop, best parameters, checkpoints."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Literal

import torch

from fettle.data.packing import Batch, Rows, split_by_tokens
from fettle.errors import TrainingFailed
from fettle.tuning.checkpoint import Checkpoints
from fettle.tuning.distributed import ALONE, Team, whole
from fettle.tuning.guards import GradientWatch
from fettle.tuning.learner import Learner
from fettle.tuning.memory import DoesNotFitError, peak_memory_bytes
from fettle.tuning.progress import Progress, Tally
from fettle.tuning.schedule import Schedule
from fettle.tuning.work import Steps, Waiting, Work
from fettle.types.tuning import EvaluationEvent, Hyperparameters, MessageEvent, Metrics, StepEvent, TuningEvent

Emit = Callable[[TuningEvent], None]
#: The rows of each optimizer step of an epoch.
Plan = Callable[[int], Sequence[Sequence[int]]]
#: Every one of the first steps is logged, whatever the interval.
FIRST_STEPS = 20
#: Steps between checkpoints, where nothing is said of them.
CHECKPOINT_INTERVAL = 100


class Run:
    """One training run over packed rows, which asks for the losses of batches and does all else itself.

    Args:
        learner: what is trained.
        rows: the training rows.
        plan: which rows each step of an epoch takes.
        validation: rows that are scored at every evaluation; None leaves that out, and the last values are kept.
        settings: the hyperparameters.
        schedule: the rate's share at each step.
        checkpoints: where the run's state is kept; a run that finds one goes on from there.
        emit: called with every event, in order.
        team: the processes that train together; each has a run like this one, and the first one writes checkpoints.

    Attributes:
        random: where dropout's numbers come from.
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
        team: Team = ALONE,
    ) -> None:
        self.team = team
        self.learner, self.rows, self.plan, self.validation = learner, rows, plan, validation
        self.settings, self.schedule, self.checkpoints, self.emit = settings, schedule, checkpoints, emit
        self._lengths = rows.lengths
        self._planned: tuple[int, Sequence[Sequence[int]]] = 0, plan(0)
        self.steps_per_epoch = len(self._planned[1])
        self.total_steps = self.steps_per_epoch * settings.epochs
        self.progress = Progress()
        self._gradients = GradientWatch(learner.parameters, emit)
        self.best: dict[str, torch.Tensor] | None = None
        self.random = torch.default_generator
        self._started = (0.0, 0, 0)

    def run(self) -> Progress:
        """Train alone; see `steps`."""
        waiting = Waiting(self.steps())
        while waiting.work is not None:
            waiting.compute(self.learner)
        return waiting.result

    def steps(self) -> Steps[Progress]:
        """Train to the end or the early stop, and leave the best parameters in the learner.

        Raises:
            TrainingFailed: the loss exploded, it or a gradient is no number, or one row alone does not fit memory.
            StorageFailed: a checkpoint could not be written.
        """
        self.random.manual_seed(self.team.seed(self.settings.seed))
        self._resume()
        self.team.align(self.learner.parameters.values())
        self._started = (time.monotonic(), self.progress.step, self.progress.trained_tokens)
        self.learner.begin_epoch(self.progress.step // self.steps_per_epoch)
        while self.progress.step < self.total_steps and not self.progress.is_stopped:
            yield from self._advance()
        if self.best is not None:
            self.learner.assign(self.best)
            self._say(self._best_sentence(), "best")
        return self.progress

    def _advance(self) -> Steps[None]:
        epoch, place = divmod(self.progress.step, self.steps_per_epoch)
        yield from self._step(self._epoch_plan(epoch)[place])
        settings = self.settings
        if self._is_due(place, settings.evaluation_interval, settings.evaluations_per_epoch or 1):
            yield from self._evaluate()
        if self._is_due(place, self._checkpoint_interval, settings.checkpoints_per_epoch or 1):
            self._save()

    @property
    def _checkpoint_interval(self) -> int | None:
        is_by_epoch = self.settings.checkpoints_per_epoch is not None
        return None if is_by_epoch else self.settings.checkpoint_interval or CHECKPOINT_INTERVAL

    def _is_due(self, place: int, interval: int | None, per_epoch: int) -> bool:
        """Whether the step in this place of its epoch is followed by what is done so often; the last one always is."""
        if self._is_over():
            return True
        if interval is not None:
            return self.progress.step % interval == 0
        parts = min(per_epoch, self.steps_per_epoch)
        return place + 1 in {math.ceil(self.steps_per_epoch * part / parts) for part in range(1, parts + 1)}

    def _epoch_plan(self, epoch: int) -> Sequence[Sequence[int]]:
        if self._planned[0] != epoch:
            self._planned = epoch, self.plan(epoch)
            self.learner.begin_epoch(epoch)
        return self._planned[1]

    def _is_over(self) -> bool:
        return self.progress.is_stopped or self.progress.step == self.total_steps

    def _step(self, rows: Sequence[int]) -> Steps[None]:
        rate = self.learner.set_rate(self.schedule(self.progress.step, self.total_steps))
        tally = yield from self._fitted(lambda: self._accumulate(rows))
        self.team.add_gradients(self.learner.parameters.values())
        self._gradients.see(is_last_step=self.progress.step + 1 == self.total_steps)
        norm = self.learner.step(self.settings.max_gradient_norm)
        self.progress.step += 1
        self._refuse_divergence(tally.loss, rate, norm)
        self.progress.since_evaluation.merge(tally)
        self.progress.trained_tokens += int(self._lengths[list(rows)].sum())
        if self.progress.step <= FIRST_STEPS or self.progress.step % self.settings.log_interval == 0:
            self.emit(self._step_event(tally.metrics(), rate, norm))

    def _accumulate(self, rows: Sequence[int]) -> Steps[Tally]:
        """Gradients of each term's mean over the whole step, however many pieces and processes it is computed in."""
        pieces = self._pieces(self.team.share(rows, self._lengths))
        counts = [self.learner.counts(piece) for piece in pieces]
        told = self.team.gather([sum(parts) for parts in zip(*counts, strict=True)])
        shares = tuple(1 / max(sum(parts), 1) for parts in zip_longest(*told, fillvalue=0))
        tally = Tally()
        for piece, count in zip(pieces, counts, strict=True):
            loss = yield Work(piece, shares)
            tally.merge(Tally.of(loss, count))
        yield from self._keep_pace(len(pieces), rows[:1], tuple(0.0 for _ in shares))
        return tally

    def _keep_pace(self, num_batches: int, row: Sequence[int], shares: tuple[float, ...] | None) -> Steps[None]:
        """Compute a row, of no weight, as often as others have more batches; where that is an exchange."""
        for _ in range(self.team.num_missing(num_batches)):
            yield Work(self.rows.pack(row), shares)

    def _fitted(self, compute: Callable[[], Steps[Tally]]) -> Steps[Tally]:
        """What `compute` gives, of all processes together.

        Where memory does not suffice in one of them, all do it from the same state again, with smaller batches.
        """
        random = self.random.get_state()
        while True:
            try:
                tally = yield from compute()
            except DoesNotFitError as error:
                if self.team.is_sharded:
                    raise self._too_large_to_share(error) from None
                # If it is shared, who computes for several runs takes fewer of them at once.
                too_large = [] if error.is_shared else [error.num_tokens, error.num_rows]
                is_done = False
            else:
                too_large, is_done = [], True
            faults = sorted(fault for fault in self.team.gather(too_large) if fault)
            if faults:
                self._take_less(*map(int, faults[0]))
            elif is_done:
                return Tally.summed(self.team.gather(tally.numbers))
            self.learner.clear_gradients()
            self.random.set_state(random)

    def _too_large_to_share(self, error: DoesNotFitError) -> TrainingFailed:
        """The others cannot be told to take less: they wait for this process in the middle of a layer."""
        text = f"{error.num_tokens:,} tokens at once do not fit into memory at step {self.progress.step + 1}"
        return TrainingFailed(text, hint=f"Set max_tokens_per_batch={error.num_tokens // 2}, then resume the job.")

    def _take_less(self, num_tokens: int, num_rows: int) -> None:
        step = self.progress.step + 1
        if num_rows == 1:
            raise TrainingFailed(
                f"one row of {num_tokens:,} tokens does not fit into memory at step {step}",
                hint="Shorten the longest rows, train fewer layers (top_fraction), or free memory on this machine.",
            )
        self.progress.max_tokens_per_batch = limit = num_tokens // 2
        text = (
            f"{num_tokens:,} tokens at once do not fit into memory at step {step}: max_tokens_per_batch is "
            f"{limit:,} from now on, and more batches are added up, with the same result"
        )
        self._say(text, "out_of_memory", level="warning")

    @property
    def _max_tokens(self) -> int:
        return self.progress.max_tokens_per_batch or self.settings.max_tokens_per_batch

    def _pieces(self, rows: Sequence[int]) -> list[Batch]:
        parts = split_by_tokens(rows, self._lengths, self._max_tokens)
        return [self.rows.pack(part) for part in parts]

    def _refuse_divergence(self, loss: float, rate: float, norm: float) -> None:
        trend, told = self.progress.steps, ""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            told = f"loss {loss}"
        else:
            trend.add(loss)
        if trend.has_exploded:
            told = f"loss {trend.mean:.3f} in the last {len(trend.last)} steps, after {trend.best:.3f} at best"
        if told:
            raise TrainingFailed(
                f"training diverged at step {self.progress.step}: {told}, gradient norm {norm:.3g}, rate {rate:.2g}",
                hint=f"Lower learning_rate, to {self.learner.peak_rate / 4:.1g} for example, or use dtype=float32.",
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
            memory_bytes=peak_memory_bytes(),
        )

    def _evaluate(self) -> Steps[None]:
        progress = self.progress
        progress.train, progress.since_evaluation = progress.since_evaluation, Tally()
        if self.validation is None:
            return
        rows = self.validation
        progress.validation = yield from self._fitted(lambda: self._score(rows))
        train, validation = progress.train.metrics(), progress.validation.metrics()
        is_best = validation.loss < progress.best_loss
        if is_best:
            progress.best_loss, progress.best_step, self.best = validation.loss, progress.step, self.learner.snapshot()
        epoch = progress.step / self.steps_per_epoch
        self.emit(EvaluationEvent(step=progress.step, epoch=epoch, train=train, validation=validation, is_best=is_best))
        self._tell_overfitting(train.loss, validation.loss)
        self._consider_stopping(validation.loss)

    def _score(self, rows: Rows) -> Steps[Tally]:
        tally = Tally()
        lengths = rows.lengths
        # Longest first: rows of like length share a rectangle of attention.
        order = sorted(range(len(rows)), key=lambda row: -int(lengths[row]))
        parts = split_by_tokens(self.team.share(order, lengths), lengths, self._max_tokens)
        for part in parts:
            batch = rows.pack(part)
            loss = yield Work(batch)
            tally.merge(Tally.of(loss, self.learner.counts(batch)))
        yield from self._keep_pace(len(parts), [0], None)
        return tally

    def _tell_overfitting(self, train: float, validation: float) -> None:
        trend = self.progress.evaluations
        trend.add(self.progress.step, train, validation)
        if not trend.is_told and trend.overfits(self.settings.early_stopping.threshold):
            trend.is_told = True
            text = f"{trend.sentence}; the best parameters so far, of step {self.progress.best_step}, are kept"
            self._say(text, "over_fitting", level="warning")

    def _consider_stopping(self, loss: float) -> None:
        stopping, progress = self.settings.early_stopping, self.progress
        if loss < progress.reference_loss - stopping.threshold:
            progress.reference_loss, progress.num_without_improvement = loss, 0
            return
        progress.num_without_improvement += 1
        if stopping.patience and progress.num_without_improvement >= stopping.patience:
            progress.is_stopped = True
            self._say(self._stop_sentence(), "early_stop")

    def _stop_sentence(self) -> str:
        progress, threshold = self.progress, self.settings.early_stopping.threshold
        return (
            f"stopped early at step {progress.step} of {self.total_steps}: validation loss has not fallen by "
            f"{threshold} in {progress.num_without_improvement} evaluations"
        )

    def _best_sentence(self) -> str:
        progress = self.progress
        best = f"the best validation loss was {progress.best_loss:.4f}, at step {progress.best_step}"
        return f"{best} of {progress.step}; its parameters are kept"

    def _say(self, text: str, code: str, *, level: Literal["info", "warning"] = "info") -> None:
        self.emit(MessageEvent(level=level, text=text, code=code))

    def _save(self) -> None:
        # All take part in it, for each may have a share only of what is saved.
        state = {"learner": self.learner.state(), "best": whole(self.best)}
        randoms = self.team.gather_tensors(self.random.get_state())
        if self.team.is_first:
            self.checkpoints.save({"progress": asdict(self.progress), "randoms": randoms, **state})

    def _resume(self) -> None:
        if state := self.checkpoints.load():
            self.progress = Progress.restored(state["progress"])
            self.learner.restore(state["learner"])
            self.best = state["best"]
            self._resume_random(state["randoms"])
            self._say(f"resumed at step {self.progress.step} of {self.total_steps}", "resumed")

    def _resume_random(self, randoms: Sequence[torch.Tensor]) -> None:
        """Go on with this process's random numbers; one more than there were then begins with some of its own."""
        if self.team.rank < len(randoms):
            self.random.set_state(randoms[self.team.rank])
        else:
            self.random.manual_seed(self.team.seed(self.settings.seed + self.progress.step))
