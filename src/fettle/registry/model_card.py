"""The model card of a custom model: Markdown with its spec, data and metrics, and the loss curve as a picture."""

import io
from collections.abc import Sequence
from typing import Any

from fettle.types.resources import BaseModelEntry, CustomModel, TuningJob
from fettle.types.tuning import EvaluationEvent, Metrics, StepEvent

CURVE_FILE = "loss.png"


def model_card(
    model: CustomModel,
    job: TuningJob,
    base: BaseModelEntry,
    *,
    has_curve: bool,
    samples: Sequence[tuple[str, str]] = (),
) -> str:
    """The card's text; `samples` are prompts with the model's answers, `has_curve` links the picture beside it."""
    parts = [
        f"# {model.full_name}",
        f"A custom model: `{base.name}` ({base.family}, {base.parameters:,} parameters, licence {base.licence}) "
        f"tuned with `{model.method}`.",
        "## Results",
        _results(job),
        f"![Loss on training and validation rows, by step]({CURVE_FILE})" if has_curve else "",
        "## Data",
        f"Dataset `{model.dataset_hash}` (SHA-256 over its files). {_learned(model)}",
        "## How it was made",
        _table(["setting", "value"], _settings(job)),
        _samples(samples),
        "## Use",
        f'`fettle {"classify" if model.labels else "generate"} {model.full_name} "..."`, '
        f'or `"model": "{model.full_name}"` in any request to the server.',
        f"Made by tuning job `{job.id}` on {model.created_at:%Y-%m-%d %H:%M} UTC; "
        f"files `{model.artifact}`, {model.size_bytes:,} bytes.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _learned(model: CustomModel) -> str:
    if not model.labels:
        return "Loss was computed on the completions only."
    return f"It tells {len(model.labels)} labels apart: {', '.join(f'`{label}`' for label in model.labels)}."


def loss_curve(steps: Sequence[StepEvent], evaluations: Sequence[EvaluationEvent], title: str) -> bytes:
    """A PNG of the loss by step: of each logged training step, and of each validation."""
    # Here: it takes half a second to import, and only a finished job needs it. Figure without pyplot draws with Agg.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    if steps:
        axes.plot([s.step for s in steps], [s.loss for s in steps], alpha=0.6, label="training")
    if evaluations:
        losses = [event.validation.loss for event in evaluations]
        axes.plot([event.step for event in evaluations], losses, marker="o", label="validation")
    if steps or evaluations:
        axes.legend()
    axes.set(title=title, xlabel="step", ylabel="loss (nats per token)", ylim=(0, None))
    axes.grid(visible=True, alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _results(job: TuningJob) -> str:
    result = job.result
    if result is None:
        return "The job gave no measurements."
    rows = [_metrics_row("training", result.train)]
    if result.validation:
        rows.append(_metrics_row("validation", result.validation))
    ended = "stopped early" if result.stopped_early else "ran to the end"
    told = (
        f"The run {ended} after {result.steps} steps ({result.epochs:.3g} epochs) and {result.seconds:.0f} seconds; "
        f"the weights of step {result.best_step} were kept. {result.trained_parameters:,} of "
        f"{result.total_parameters:,} parameters were trained on {result.trained_tokens:,} tokens."
    )
    return _table(["rows", "loss (nats per token)", "token accuracy", "tokens"], rows) + "\n\n" + told


def _metrics_row(name: str, metrics: Metrics) -> list[Any]:
    return [name, f"{metrics.loss:.4f}", f"{metrics.token_accuracy:.2%}", f"{metrics.num_tokens:,}"]


def _settings(job: TuningJob) -> list[list[Any]]:
    spec = job.spec
    named = {"base": spec.base, "method": spec.method} | ({"continues": spec.continues} if spec.continues else {})
    adapter = {f"adapter.{name}": value for name, value in spec.adapter.items()}
    return [[name, value] for name, value in (named | adapter | _flat(spec.hyperparameters.model_dump())).items()]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": _shown(value)}
    return flat


def _shown(value: Any) -> Any:
    return "-" if value is None else value


def _samples(samples: Sequence[tuple[str, str]]) -> str:
    if not samples:
        return ""
    return "## Samples\n\n" + _table(["prompt", "answer"], [[prompt, answer] for prompt, answer in samples])


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", "<br>")
