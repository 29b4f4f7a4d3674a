"""Fettle's ways of training the rows of a job."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from meter import RATE, WARMUP, Job, Meter

from fettle.adapters.files import load_adapter
from fettle.data.choice_rows import Alternatives, ChoiceBatch, ChoiceRows
from fettle.data.packing import Batch, EncodedRows, Ints, Rows, pack
from fettle.data.template import Encoded
from fettle.tuning.checkpoint import Checkpoints
from fettle.tuning.loop import Run
from fettle.tuning.material import Material
from fettle.tuning.methods import trainee_for
from fettle.tuning.objectives import Loss
from fettle.tuning.objectives.answers import AnswerScores
from fettle.tuning.objectives.base import Tuned
from fettle.tuning.objectives.scores import token_scores
from fettle.tuning.objectives.tfew import TFew
from fettle.tuning.trunk import above_trunk
from fettle.types.tuning import StepEvent, TuningEvent, TuningPlan, TuningSpec


class Fettle:
    """The loop of `fettle.tuning`, without validation, over rows in their order."""

    epochs = 1
    warmup = WARMUP

    def __init__(self, job: Job) -> None:
        self.job, self.plan = job, plan_of(job, Path(job.folder), job.settings | {"log_interval": 1})
        self.trainee = trainee_for(self.plan.spec, Path(job.base), getattr(torch, job.dtype))
        self.rows = self.encoded()
        self.tokens = self.rows.lengths

    def encoded(self) -> Rows:
        """The job's rows."""
        return EncodedRows(
            Encoded(row["tokens"], [i >= row["num_prompt"] for i in range(len(row["tokens"]))]) for row in self.job.rows
        )

    def above(self) -> AbstractContextManager[Material]:
        """The rows as they are trained on."""
        return nullcontext(Material(self.rows, None, "prompt"))

    def train(self, meter: Meter) -> float:
        """Returns the loss of the first step's rows before it, without dropout."""
        hyperparameters, size = self.plan.spec.hyperparameters, self.job.batch_size
        learner = self.trainee.learner(hyperparameters.model_copy(update={"learning_rate": RATE}))
        learner.assign(load_adapter(Path(self.job.adapter)).named_parameters())
        steps = [range(len(self.rows))[start : start + size] for start in range(0, len(self.rows), size)]
        learner.train_mode(False)
        with torch.no_grad():
            loss, counts = (of(self.rows.pack(steps[0])) for of in (learner.loss, learner.counts))
        first = sum(float(term) / count for term, count in zip(loss.terms, counts, strict=True))

        def emit(event: TuningEvent) -> None:
            if isinstance(event, StepEvent):
                meter.losses.append(event.loss)
                meter.stamp(int(self.tokens[list(steps[(event.step - 1) % len(steps)])].sum()))

        with self.above() as material:
            meter.start()
            Run(
                learner=learner,
                rows=material.train,
                plan=lambda _: steps,
                validation=None,
                settings=hyperparameters.model_copy(update={"epochs": self.epochs}),
                schedule=lambda _step, _total: 1.0,
                checkpoints=Checkpoints(Path(self.plan.work_path)),
                emit=emit,
            ).run()
        return first


class AboveTrunk(Fettle):
    """What the layers below the trained ones make of the rows is computed once; timed is the second epoch."""

    epochs = 2

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.warmup = -(-len(self.rows) // job.batch_size)

    def above(self) -> AbstractContextManager[Material]:
        """The rows with their states, or the benchmark ends."""

        def emit(event: TuningEvent) -> None:
            if getattr(event, "level", None) == "warning":
                raise SystemExit(f"no trunk cache: {event}")

        return above_trunk(Material(self.rows, None, "prompt"), self.trainee, self.plan, emit)


class Choices(Fettle):
    """Rows of several answers, each prompt once."""

    def encoded(self) -> ChoiceRows:
        """The job's rows."""
        return ChoiceRows(Alternatives(row["prompt"], row["answers"]) for row in self.job.rows)


class ChoicesRepeated(Choices):
    """The same, but the prompt is computed for each of its answers."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.trainee.objective = _OnRepeated(self.plan.spec.hyperparameters.tfew)
        # Its tokens count once, as for the others: repeated ones are no progress.
        self.rows = _RepeatedRows(self.encoded())


@dataclass(frozen=True)
class _RepeatedBatch(Batch):
    """Each answer behind a copy of its prompt, and the same rows with each prompt once."""

    shared: ChoiceBatch


class _RepeatedRows:
    def __init__(self, rows: ChoiceRows) -> None:
        self._rows, self.left_out = rows, rows.left_out

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def lengths(self) -> Ints:
        rows = map(self._rows.row, range(len(self)))
        return np.array([sum(len(row.prefix) + len(answer) for answer in row.answers) for row in rows])

    def key(self, index: int) -> bytes:
        return self._rows.key(index)

    def pack(self, rows: Sequence[int]) -> _RepeatedBatch:
        documents = [
            Encoded(row.prefix + answer, [False] * len(row.prefix) + [True] * len(answer))
            for row in map(self._rows.row, rows)
            for answer in row.answers
        ]
        return _RepeatedBatch(**vars(pack(documents)), shared=self._rows.pack(rows))


class _OnRepeated(TFew):
    def counts(self, batch: Batch) -> tuple[int, ...]:
        return super().counts(_shared(batch))

    def loss(self, model: Tuned, batch: Batch) -> Loss:
        return self.of(AnswerScores(token_scores(model.decoder, batch, model.virtual()), _shared(batch)))


def _shared(batch: Batch) -> ChoiceBatch:
    assert isinstance(batch, _RepeatedBatch)
    return batch.shared


def plan_of(job: Job, folder: Path, settings: dict[str, Any]) -> TuningPlan:
    """What the job trains, with these settings of the method, and its files in a folder."""
    settings = settings | {"dtype": job.dtype, "batch_size": job.batch_size}
    return TuningPlan(
        spec=TuningSpec.from_settings(settings, base="random", method=job.method, name="bench"),
        base_path=job.base,
        train_path="",
        work_path=str(folder / "work"),
        output_path=str(folder / "output"),
        cache_path=str(folder / "cache"),
        threads=job.threads,
    )
