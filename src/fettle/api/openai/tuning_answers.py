"""What OpenAI's clients are told of tuning jobs, their events and their checkpoints."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from fettle.adapters.methods import METHODS
from fettle.api.backend import Platform
from fettle.api.openai.ids import shown
from fettle.store.events import Event
from fettle.types.resources import CustomModel, TuningJob
from fettle.types.tuning import EvaluationEvent, Metrics, StepEvent, TuningSpec

#: Whose jobs they are; one installation is one organization.
ORGANIZATION = "local"
_LEVELS = {"warning": "warn", "failed": "error"}
_SENTENCES = {
    "created": "Created fine-tuning job: {id}",
    "queued": "The job is queued; it goes on from its last checkpoint",
    "running": "Fine-tuning job started",
    "paused": "The job is paused",
    "cancelled": "The job was cancelled",
}


def job_told(job: TuningJob, platform: Platform) -> dict[str, Any]:
    """A job, as it stands."""
    model = platform.custom_models.made_by(job)
    order, is_running = job.order, job.state == "running"
    newest = platform.tuning_jobs.newest_events(job.id, limit=1, types=("step",)) if is_running else []
    return {
        "id": shown(job.id),
        "object": "fine_tuning.job",
        "created_at": _seconds(job.created_at),
        "finished_at": job.finished_at and _seconds(job.finished_at),
        "estimated_finish": _estimated(newest),
        "model": job.spec.base,
        "fine_tuned_model": model and name_of(model),
        "organization_id": ORGANIZATION,
        "status": job.state,
        "training_file": shown(order.train_file) if order.train_file else "",
        "validation_file": shown(order.validation_file) if order.validation_file else None,
        "result_files": [shown(job.results_file)] if job.results_file else [],
        "trained_tokens": job.result and job.result.trained_tokens,
        "hyperparameters": _hyperparameters(job.spec),
        "method": order.method or _method(job.spec),
        "seed": job.spec.hyperparameters.seed,
        "integrations": [],
        "metadata": order.metadata,
        "user_provided_suffix": order.suffix,
        "error": {"code": "job_failed", "message": job.error, "param": None} if job.state == "failed" else None,
    }


def name_of(model: CustomModel) -> str:
    """What a tuned model is called in `model`."""
    return model.alias or model.full_name


def event_told(event: Event) -> dict[str, Any]:
    """One event."""
    message, data = _message(event)
    return {
        "id": f"ftevent-{event.id}",
        "object": "fine_tuning.job.event",
        "created_at": _seconds(event.at),
        "level": _LEVELS.get(event.type) or _LEVELS.get(event.body.get("level", ""), event.body.get("level", "info")),
        "message": message,
        "type": "metrics" if data else "message",
        "data": data or {},
    }


def checkpoints_told(job: TuningJob, platform: Platform) -> list[dict[str, Any]]:
    """The model as it was when it was best, which is what a job keeps; none before it has succeeded."""
    model = platform.custom_models.made_by(job)
    if not (model and job.result):
        return []
    metrics = {"step": job.result.best_step, **_scores("train", job.result.train)}
    for event in platform.tuning_jobs.newest_events(job.id, limit=1000, types=("evaluation",)):
        if event.body["step"] == job.result.best_step:
            metrics |= _evaluated(EvaluationEvent.model_validate(event.body))
            break
    return [
        {
            "id": f"ftckpt_{job.id.partition('_')[2]}",
            "object": "fine_tuning.job.checkpoint",
            "created_at": _seconds(model.created_at),
            "fine_tuned_model_checkpoint": name_of(model),
            "fine_tuning_job_id": shown(job.id),
            "step_number": job.result.best_step,
            "metrics": metrics,
        }
    ]


def _message(event: Event) -> tuple[str, dict[str, Any]]:
    """An event's sentence, and its numbers if it has some."""
    body = event.body
    match event.type:
        case "step":
            return _step(StepEvent.model_validate(body))
        case "evaluation":
            told = EvaluationEvent.model_validate(body)
            return f"Step {told.step}: validation loss={told.validation.loss:.4f}", _evaluated(told)
        case "message":
            return str(body["text"]), {}
        case "failed":
            return str(body["error"]), {}
        case "succeeded":
            return f"New fine-tuned model created: {body['model']}. The job has successfully completed", {}
        case kind:
            return _SENTENCES.get(kind, kind).format(id=shown(event.subject)), {}


def _step(step: StepEvent) -> tuple[str, dict[str, Any]]:
    data = {"step": step.step, "total_steps": step.total_steps, "train_loss": step.loss}
    return (
        f"Step {step.step}/{step.total_steps}: training loss={step.loss:.4f}",
        data | {"train_mean_token_accuracy": step.token_accuracy},
    )


def _evaluated(event: EvaluationEvent) -> dict[str, Any]:
    """Its scores; each validation is over all of the validation rows, hence "full"."""
    valid = _scores("valid", event.validation)
    full = {f"full_{name}": value for name, value in valid.items()}
    return {"step": event.step, **_scores("train", event.train), **valid, **full}


def _scores(what: str, metrics: Metrics) -> dict[str, float]:
    return {f"{what}_loss": metrics.loss, f"{what}_mean_token_accuracy": metrics.token_accuracy}


def _estimated(newest: Sequence[Event]) -> int | None:
    if not newest:
        return None
    return _seconds(newest[0].at + timedelta(seconds=StepEvent.model_validate(newest[0].body).seconds_left))


def _hyperparameters(spec: TuningSpec) -> dict[str, Any]:
    chosen = spec.hyperparameters
    usual = METHODS[spec.method].learning_rate
    multiplier = round((chosen.learning_rate or usual) / usual, 6)
    return {"n_epochs": chosen.epochs, "batch_size": chosen.batch_size, "learning_rate_multiplier": multiplier}


def _method(spec: TuningSpec) -> dict[str, Any]:
    """The method of a job that was not ordered over HTTP."""
    settings = spec.hyperparameters.model_dump(mode="json", exclude_defaults=True) | spec.adapter
    return {"type": spec.method, spec.method: {"hyperparameters": settings}}


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
