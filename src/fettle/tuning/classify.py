"""From a plan (paths and a spec) to the files of a classifier."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from fettle.adapters.classifiers import CLASSIFIERS
from fettle.data.examples import Example
from fettle.data.labels import LabelledRows, check_labels, labels_of
from fettle.data.sentences import Sentences
from fettle.errors import InvalidInput
from fettle.models.dtypes import dtype_for
from fettle.models.encoder_files import read_encoder_config
from fettle.models.tokenizer import Tokenizer
from fettle.tuning.classifier import Classifier
from fettle.tuning.distributed import ALONE, Team
from fettle.tuning.guards import check_trained
from fettle.tuning.loop import Emit
from fettle.tuning.material import Material
from fettle.tuning.tune import result_of, run_over, split_rows, write_about
from fettle.types.tuning import MessageEvent, TuningPlan, TuningResult


def tune_classifier(plan: TuningPlan, emit: Emit, team: Team = ALONE) -> TuningResult:
    """Train what the plan says and write it to `plan.output_path`; goes on from `plan.work_path`'s checkpoint.

    All processes of a `team` do this at once, and the first one writes.

    Raises:
        InvalidInput: the spec does not fit the model, or the rows have no classes.
        TrainingFailed, StorageFailed: as for `tune`.
    """
    started = time.monotonic()
    torch.set_num_threads(plan.threads)
    method, base, output = CLASSIFIERS[plan.spec.method], Path(plan.base_path), Path(plan.output_path)
    labels, material = load_texts(plan, emit)
    settings, config = method.completed(plan.spec.hyperparameters), method.adapter_config(plan.spec.adapter)
    classifier = Classifier(base, method, config, settings, labels, dtype_for(settings.dtype))
    learner = classifier.learner(settings)
    check_trained(learner, classifier.model)
    run = run_over(material, learner, settings, plan, emit, team)
    progress = run.run()
    if team.is_first:
        output.mkdir(parents=True, exist_ok=True)
        classifier.write(output, base=base, name=plan.spec.base)
        write_about(output, prompt_format="prompt", kind=method.made, labels=labels)
    trained = sum(value.numel() for value in classifier.parameters.values())
    seconds = time.monotonic() - started
    return result_of(run, progress, trained=trained, total=classifier.num_parameters, seconds=seconds)


def load_texts(plan: TuningPlan, emit: Emit) -> tuple[tuple[str, ...], Material]:
    """The labels, and the plan's rows, split and encoded; those longer than the context are left out, which is said.

    Raises:
        InvalidInput: the rows have no classes, or nothing is left to train on.
    """
    check_labels(Path(plan.train_path), Path(plan.validation_path) if plan.validation_path else None)
    base = Path(plan.base_path)
    sentences, context = Sentences(Tokenizer.load(base)), read_encoder_config(base).max_positions
    train, held = split_rows(plan)
    labels = labels_of([*train, *held])
    _tell_labels(train, labels, emit)
    kept = held[: plan.spec.hyperparameters.max_validation_rows]
    parts = {
        what: LabelledRows.of(examples, sentences.encode, labels, context)
        for what, examples in (("training", train), ("validation", kept))
    }
    _tell_left_out(parts, context, emit)
    if not len(parts["training"]):
        raise InvalidInput(f"no training row of {plan.train_path} fits the context of {context} tokens")
    return labels, Material(parts["training"], parts["validation"] if len(parts["validation"]) else None, "prompt")


def _tell_labels(train: Sequence[Example], labels: Sequence[str], emit: Emit) -> None:
    counts = Counter(example.answer for example in train)
    shown = ", ".join(f"{label[:40]!r} ({counts[label]:,})" for label in labels[:20])
    numbers = "; whole numbers are read as texts" if any(label.isdecimal() for label in labels) else ""
    emit(MessageEvent(text=f"{len(labels)} labels: {shown}{', ...' * (len(labels) > 20)}{numbers}", code="labels"))
    if absent := [label for label in labels if not counts[label]]:
        text = f"labels that only held-out rows have, and that nothing teaches: {', '.join(absent[:20])}"
        emit(MessageEvent(level="warning", text=text, code="labels_not_trained"))


def _tell_left_out(parts: dict[str, LabelledRows], context: int, emit: Emit) -> None:
    for what, rows in parts.items():
        if rows.left_out:
            count = f"{len(rows.left_out)} of {len(rows) + len(rows.left_out)} {what} rows"
            text = f"{count} are longer than the context of {context} tokens and are left out"
            emit(MessageEvent(level="warning", text=text, code="rows_too_long"))
