"""From a plan (paths and a spec) to the files of a custom model."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import torch

from fettle.adapters.methods import METHODS
from fettle.data.examples import Example, load_examples
from fettle.data.packing import Rows, plan_epoch
from fettle.data.split import is_held_out
from fettle.data.template import Template
from fettle.errors import InvalidInput
from fettle.models.dtypes import dtype_for
from fettle.models.loading import read_config
from fettle.models.tokenizer import Tokenizer
from fettle.tuning.checkpoint import Checkpoints, write_whole
from fettle.tuning.distributed import ALONE, Team
from fettle.tuning.guards import check_rows, check_trained
from fettle.tuning.learner import Learner
from fettle.tuning.loop import Emit, Run
from fettle.tuning.material import Material
from fettle.tuning.methods import FullTrainee, Trainee, trainee_for
from fettle.tuning.objectives import Objective
from fettle.tuning.progress import Progress
from fettle.tuning.schedule import schedule_for
from fettle.tuning.trunk import above_trunk
from fettle.types.resources import PromptFormat
from fettle.types.tuning import Hyperparameters, MessageEvent, TuningPlan, TuningResult

#: Beside the weights: what serving must know to treat a prompt as training did.
ABOUT = "fettle.json"
_NOT_SHARDED = {
    "unfreeze_per_epoch": "changes what is trained",
    "gradient_checkpointing": "computes layers while gradients are made",
}


def tune(plan: TuningPlan, emit: Emit, team: Team = ALONE) -> TuningResult:
    """Train what the plan says and write it to `plan.output_path`; goes on from `plan.work_path`'s checkpoint.

    All processes of a `team` do this at once, and the first one writes.

    Raises:
        InvalidInput: the spec does not fit the model, or no row can be used.
        TrainingFailed: training diverged, would train something else, or one row alone does not fit memory.
        StorageFailed: the disk is full.
    """
    started = time.monotonic()
    torch.set_num_threads(plan.threads)
    spec, base = plan.spec, Path(plan.base_path)
    earlier = Path(plan.continues_path) if plan.continues_path else None
    trainee = trainee_for(spec, base, dtype_for(spec.hyperparameters.dtype), earlier)
    team = _shared_out(trainee, plan, team)
    with above_trunk(load_material(plan, trainee.objective, emit), trainee, plan, emit) as material:
        settings = METHODS[spec.method].completed(spec.hyperparameters)
        learner = trainee.learner(settings)
        check_trained(learner, trainee.decoder)
        run = run_over(material, learner, settings, plan, emit, team)
        progress = run.run()
    if isinstance(trainee, FullTrainee):
        trainee.bring_together()
    if team.is_first:
        write_output(Path(plan.output_path), trainee, base, spec.base, material.prompt_format)
    trained = sum(value.numel() for value in trainee.parameters.values())
    is_adapter = trainee.parameters.keys().isdisjoint(dict(trainee.decoder.named_parameters()))
    total = trainee.decoder.config.num_parameters + is_adapter * trained
    return result_of(run, progress, trained=trained, total=total, seconds=time.monotonic() - started)


def _shared_out(trainee: Trainee, plan: TuningPlan, team: Team) -> Team:
    """The team, after each of it has kept a share of the weights that are trained, if the plan wants that."""
    if team.size == 1 or plan.strategy == "ddp" or not isinstance(trainee, FullTrainee):
        return team
    settings = plan.spec.hyperparameters
    for name, why in _NOT_SHARDED.items():
        if getattr(settings, name):
            hint = f"Use ddp (FETTLE_STRATEGY=ddp), or leave {name} out."
            raise InvalidInput(
                f"{name} {why}, which shares of weights ({plan.strategy}) do not allow", hint=hint, param="strategy"
            )
    trainee.shard(is_whole_in_step=plan.strategy == "zero2")
    return replace(team, is_sharded=True)


def run_over(
    material: Material,
    learner: Learner,
    settings: Hyperparameters,
    plan: TuningPlan,
    emit: Emit,
    team: Team = ALONE,
) -> Run:
    """The loop over this material, with settings that the method has completed."""
    num_rows = len(material.train)
    batch_size = settings.rows_per_step(num_rows)
    if settings.batch_size == "auto":
        emit(MessageEvent(text=f"a step takes {batch_size} of the {num_rows:,} rows", code="batch_size"))
    _tell_team(team, plan.strategy, batch_size, emit)
    return Run(
        learner=learner,
        rows=material.train,
        plan=lambda epoch: plan_epoch(num_rows, batch_size=batch_size, seed=settings.seed, epoch=epoch),
        validation=material.validation,
        settings=settings,
        schedule=schedule_for(settings),
        checkpoints=Checkpoints(Path(plan.work_path)),
        emit=emit,
        team=team,
    )


def _tell_team(team: Team, strategy: str, batch_size: int, emit: Emit) -> None:
    if team.size > 1:
        text = f"{team.size} processes share the {batch_size} rows of a step"
        idle = f": {team.size - batch_size} of them have nothing to do" if batch_size < team.size else ""
        emit(MessageEvent(level="warning" if idle else "info", text=text + idle, code="processes"))
    if team.size > 1 and strategy != "ddp" and not team.is_sharded:
        text = f"each process has all weights: only decoders' methods that train weights share them out ({strategy})"
        emit(MessageEvent(text=text, code="processes"))


def load_material(plan: TuningPlan, objective: Objective, emit: Emit) -> Material:
    """Read, split and encode the plan's rows; those longer than the context are left out, and that is said.

    Raises:
        InvalidInput: nothing is left to train on.
    """
    base, settings = Path(plan.base_path), plan.spec.hyperparameters
    context = METHODS[plan.spec.method].room(plan.spec.adapter, read_config(base).max_positions)
    encoder = _Encoder(objective, Template(Tokenizer.load(base)), context, emit)
    train, held = split_rows(plan)
    _tell_unused(train, plan.spec.method, emit)
    rows = encoder.rows(train, "training")
    if not len(rows):
        raise InvalidInput(f"no training row of {plan.train_path} fits the context of {encoder.context} tokens")
    check_rows(rows, "training", emit, end_ids=encoder.template.end_ids)
    validation = encoder.rows(held[: settings.max_validation_rows], "validation")
    if len(validation):
        check_rows(validation, "validation", emit)
    is_chat = all(example.prompt_format == "chat" for example in train)
    return Material(rows, validation if len(validation) else None, "chat" if is_chat else "prompt")


def _tell_unused(examples: Sequence[Example], method: str, emit: Emit) -> None:
    count = sum(bool(example.wrong) for example in examples)
    if count and METHODS[method].objective == "next_token":
        others = " and ".join(name for name, other in METHODS.items() if other.objective != "next_token")
        text = (
            f"{count} of {len(examples)} rows have wrong answers too, which {method} does not learn from; {others} do"
        )
        emit(MessageEvent(level="warning", text=text, code="choices_unused"))


def split_rows(plan: TuningPlan) -> tuple[list[Example], list[Example]]:
    """The rows to train on, and those that are held out.

    Raises:
        InvalidRows: some cannot be used.
    """
    examples = list(load_examples(Path(plan.train_path)))
    if plan.validation_path:
        return examples, list(load_examples(Path(plan.validation_path)))
    settings = plan.spec.hyperparameters
    marks = [is_held_out(i, fraction=settings.validation_fraction, seed=settings.seed) for i in range(len(examples))]
    return [e for e, mark in zip(examples, marks, strict=True) if not mark], list(compress(examples, marks))


@dataclass(frozen=True)
class _Encoder:
    objective: Objective
    template: Template
    context: int
    emit: Emit

    def rows(self, examples: Sequence[Example], what: str) -> Rows:
        rows = self.objective.rows(((e.line, e) for e in examples), self.template, self.context)
        if rows.left_out:
            count = f"{len(rows.left_out)} of {len(examples)} {what} rows"
            text = f"{count} are longer than the context of {self.context} tokens and are left out"
            self.emit(MessageEvent(level="warning", text=text, code="rows_too_long"))
        return rows


def write_output(folder: Path, trainee: Trainee, base: Path, name: str, prompt_format: PromptFormat) -> None:
    """Write the custom model's files; `ABOUT` comes last, so a folder that has it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    trainee.write(folder, base=base, name=name)
    write_about(folder, prompt_format=prompt_format)


def write_about(folder: Path, **facts: Any) -> None:
    """Write what else is to be known of the model in `folder`, after its other files."""
    about = json.dumps(facts, ensure_ascii=False) + "\n"
    write_whole(folder / ABOUT, lambda path: path.write_text(about, encoding="utf-8"))


def result_of(run: Run, progress: Progress, *, trained: int, total: int, seconds: float) -> TuningResult:
    """How a run ended, which trained so many of all parameters."""
    return TuningResult(
        steps=progress.step,
        epochs=progress.step / run.steps_per_epoch,
        stopped_early=progress.is_stopped,
        best_step=progress.best_step or progress.step,
        train=progress.train.metrics(),
        validation=progress.validation.metrics() if progress.validation else None,
        trained_parameters=trained,
        total_parameters=total,
        trained_tokens=progress.trained_tokens,
        seconds=seconds,
    )
