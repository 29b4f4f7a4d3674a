"""`fettle tune`: from a file of examples to a new version of a custom model."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from fettle.adapters.classifiers import CLASSIFIERS
from fettle.adapters.methods import METHODS
from fettle.cli.installation import Installation
from fettle.cli.options import Json, parse_assignments
from fettle.cli.output import bytes_text, console, print_json, print_pairs, seconds_text
from fettle.cli.progress import TuningProgress
from fettle.cli.session import opened
from fettle.errors import InvalidInput
from fettle.types.resources import MAX_PRIORITY
from fettle.types.told import CustomModelTold, JobTold
from fettle.types.tuning import Metrics, TuningResult, TuningSpec

app = typer.Typer()
#: Of decoders and of sentence encoders; whether one fits the base is checked with everything else.
_METHODS = list(dict.fromkeys([*METHODS, *CLASSIFIERS]))


@app.command()
def tune(
    file: Annotated[Path | None, typer.Argument(help="JSONL file of examples (.gz and .zst too).")] = None,
    base: Annotated[
        str, typer.Option(help="Base model, or a custom model to go on with; `fettle models list` shows them.")
    ] = "pocket",
    method: Annotated[str, typer.Option(help=f"What is trained: {', '.join(_METHODS)}.")] = "lora",
    name: Annotated[str | None, typer.Option(help="Name of the custom model; by default that of the file.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="File of held-out examples; else a share is split off.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A hyperparameter or adapter setting.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Fine-tuning cluster to run on.", show_default="none: all threads")
    ] = None,
    priority: Annotated[
        int,
        typer.Option(min=-MAX_PRIORITY, max=MAX_PRIORITY, help="Of what waits, a server runs the highest first."),
    ] = 0,
    resume: Annotated[str | None, typer.Option(metavar="JOB", help="Go on with a job from its checkpoint.")] = None,
    as_json: Json = False,
) -> None:
    """Tune a base model on a file of examples.

    The result is a new version of the custom model NAME. Settings, for example: --set epochs=5 --set rank=16
    --set early_stopping.patience=3
    """
    with opened() as platform:
        if resume:
            _only_resume(file, validation, name, assignments, cluster, priority)
            job = platform.jobs.get(resume)
        else:
            spec = make_spec(_given(file), base, method, name, assignments or [])
            job = platform.jobs.create(spec, _given(file), validation, cluster=cluster, priority=priority)
        model = follow(platform, job, is_begun=bool(resume))
        job = platform.jobs.get(job.id)
        print_json({"job": job, "model": model}) if as_json else _tell(job, model)


def make_spec(file: Path, base: str, method: str, name: str | None, assignments: list[str]) -> TuningSpec:
    """The spec that the command line means.

    Raises:
        InvalidInput: a value is out of bounds or of the wrong type; all of them are named.
    """
    settings = {key: _value(text) for key, text in parse_assignments(assignments).items()}
    return TuningSpec.from_settings(settings, base=base, method=method, name=name or default_name(file))


def default_name(file: Path) -> str:
    """A model name made of the file's: 'my tickets.jsonl.gz' -> 'my-tickets'."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", file.name.partition(".")[0]).strip("-_")[:64] or "model"


def follow(platform: Installation, job: JobTold, *, is_begun: bool) -> CustomModelTold:
    """See the job to its end and show how it goes; when interrupted, say how to go on."""
    try:
        with TuningProgress(job.spec.name) as progress:
            return platform.jobs.run(job.id, progress, is_begun=is_begun)
    except KeyboardInterrupt:
        console(errors=True).print(platform.jobs.on_leaving(job.id))
        raise


def _given(file: Path | None) -> Path:
    if file is None:
        raise InvalidInput("no FILE is given", hint="For example: fettle tune train.jsonl --name tickets", param="file")
    return file


def _only_resume(*given: object) -> None:
    if any(given):
        raise InvalidInput(
            "a job goes on as it was begun: no FILE or other options with --resume",
            param="resume",
        )


def _value(text: str) -> Any:
    """3, 0.1, true, null and lists as in JSON; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _tell(job: JobTold, model: CustomModelTold) -> None:
    console().print(f"[bold]{model.full_name}[/] is ready.\n")
    measured = _result_pairs(job.result) if job.result else {}
    told = {"base": model.base, "method": model.method, **measured, "size": bytes_text(model.size_bytes), "job": job.id}
    print_pairs(told)
    ask = "classify" if model.labels else "generate"
    console().print(f'\nTry it:  fettle {ask} {model.name} "..."   fettle eval {model.name} FILE   fettle up')


def _result_pairs(result: TuningResult) -> dict[str, str]:
    stopped = ", stopped early" if result.stopped_early else ""
    pairs = {
        "trained": f"{result.steps} steps, {result.epochs:.2g} epochs{stopped}; best at step {result.best_step}",
        "parameters": f"{result.trained_parameters:,} trained of {result.total_parameters:,}",
        "training": _metrics_text(result.train),
        "time": f"{seconds_text(result.seconds)}, {result.trained_tokens / max(result.seconds, 1e-9):,.0f} tokens/s",
    }
    if result.validation:
        pairs["validation"] = _metrics_text(result.validation)
    return pairs


def _metrics_text(metrics: Metrics) -> str:
    if metrics.choice_accuracy is not None:
        return f"loss {metrics.loss:.4f}, accuracy {metrics.choice_accuracy:.1%}"
    return f"loss {metrics.loss:.4f}, token accuracy {metrics.token_accuracy:.1%}"
