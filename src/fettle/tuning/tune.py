"""From a plan (paths and a spec) to the files of a custom model."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from fettle.adapters.methods import METHODS
from fettle.data.examples import load_examples
from fettle.data.packing import EncodedRows, collect, plan_epoch
from fettle.data.split import is_held_out
from fettle.data.template import Template
from fettle.errors import InvalidInput
from fettle.models.dtypes import dtype_for
from fettle.models.loading import read_config
from fettle.models.tokenizer import Tokenizer
from fettle.tuning.checkpoint import Checkpoints, write_whole
from fettle.tuning.loop import Emit, Progress, Run
from fettle.tuning.methods import Trainee, trainee_for
from fettle.tuning.schedule import linear_decay
from fettle.types.resources import PromptFormat
from fettle.types.tuning import MessageEvent, TuningPlan, TuningResult

#: Beside the weights: what serving must know to treat a prompt as training did.
ABOUT = "fettle.json"


@dataclass(frozen=True)
class Material:
    """The rows of a run, as tokens."""

    train: EncodedRows
    validation: EncodedRows | None
    prompt_format: PromptFormat


def tune(plan: TuningPlan, emit: Emit) -> TuningResult:
    """Train what the plan says and write it to `plan.output_path`; goes on from `plan.work_path`'s checkpoint.

    Raises:
        InvalidInput: the spec does not fit the model, or no row can be used.
        TrainingFailed: the loss or a gradient was no number.
        StorageFailed: the disk is full.
    """
    started = time.monotonic()
    torch.set_num_threads(plan.threads)
    spec, base = plan.spec, Path(plan.base_path)
    settings = spec.hyperparameters
    trainee = trainee_for(spec, base, dtype_for(settings.dtype))
    material = load_material(plan, emit)
    run = Run(
        learner=trainee.learner(settings, settings.learning_rate or METHODS[spec.method].learning_rate),
        rows=material.train,
        plan=lambda epoch: plan_epoch(
            len(material.train), batch_size=settings.batch_size, seed=settings.seed, epoch=epoch
        ),
        validation=material.validation,
        settings=settings,
        schedule=linear_decay(settings.warmup_fraction),
        checkpoints=Checkpoints(Path(plan.work_path)),
        emit=emit,
    )
    progress = run.run()
    write_output(Path(plan.output_path), trainee, base, spec.base, material.prompt_format)
    return _result(run, progress, trainee, time.monotonic() - started)


def load_material(plan: TuningPlan, emit: Emit) -> Material:
    """Read, split and encode the plan's rows; those longer than the context are left out, and that is said.

    Raises:
        InvalidInput: nothing is left to train on.
    """
    base, settings = Path(plan.base_path), plan.spec.hyperparameters
    template, context = Template(Tokenizer.load(base)), read_config(base).max_positions
    examples = list(load_examples(Path(plan.train_path)))
    formats = {example.prompt_format for example in examples}
    if plan.validation_path:
        train, held = examples, list(load_examples(Path(plan.validation_path)))
    else:
        marks = [
            is_held_out(i, fraction=settings.validation_fraction, seed=settings.seed) for i in range(len(examples))
        ]
        train = [example for example, mark in zip(examples, marks, strict=True) if not mark]
        held = [example for example, mark in zip(examples, marks, strict=True) if mark]
    validation = _encoded(template, held[: settings.max_validation_rows], context, "validation", emit)
    rows = _encoded(template, train, context, "training", emit)
    if not len(rows):
        raise InvalidInput(f"no training row of {plan.train_path} fits the context of {context} tokens")
    return Material(rows, validation if len(validation) else None, "chat" if formats == {"chat"} else "prompt")


def _encoded(template: Template, examples: Iterable[object], context: int, what: str, emit: Emit) -> EncodedRows:
    encoded = [template.encode(example) for example in examples]
    fitting = [row for row in encoded if len(row.token_ids) <= context]
    if left_out := len(encoded) - len(fitting):
        text = (
            f"{left_out} of {len(encoded)} {what} rows are longer than the context of {context} tokens and are left out"
        )
        emit(MessageEvent(level="warning", text=text, code="rows_too_long"))
    return collect((row.token_ids, row.scored) for row in fitting)


def write_output(folder: Path, trainee: Trainee, base: Path, name: str, prompt_format: PromptFormat) -> None:
    """Write the custom model's files; `ABOUT` comes last, so a folder that has it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    trainee.write(folder, base=base, name=name)
    about = json.dumps({"prompt_format": prompt_format}) + "\n"
    write_whole(folder / ABOUT, lambda path: path.write_text(about, encoding="utf-8"))


def _result(run: Run, progress: Progress, trainee: Trainee, seconds: float) -> TuningResult:
    trained = sum(value.numel() for value in trainee.parameters.values())
    is_adapter = trainee.parameters.keys().isdisjoint(dict(trainee.decoder.named_parameters()))
    return TuningResult(
        steps=progress.step,
        epochs=progress.step / run.steps_per_epoch,
        stopped_early=progress.is_stopped,
        best_step=progress.best_step or progress.step,
        train=progress.train.metrics(),
        validation=progress.validation.metrics() if progress.validation else None,
        trained_parameters=trained,
        total_parameters=trainee.decoder.config.num_parameters + is_adapter * trained,
        trained_tokens=progress.trained_tokens,
        seconds=seconds,
    )
