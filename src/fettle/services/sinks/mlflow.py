"""MLflow: a run per job in the experiment "Fettle", on the server of MLFLOW_TRACKING_URI or in a local database."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fettle.services.sinks.sink import Sink, SinkKind
from fettle.types.resources import TuningJob

EXPERIMENT = "Fettle"
#: The name of the tag that says which job a run is; a job that goes on finds its run by it.
JOB_TAG = "fettle.job"
_STATES = {"succeeded": "FINISHED", "failed": "FAILED"}


class MLflow:
    """A job's run."""

    def __init__(self, client: Any, run_id: str) -> None:
        """Metrics go to the run `run_id` of `client`, an mlflow.MlflowClient."""
        self._client, self._run_id = client, run_id

    def write(self, values: Mapping[str, float], step: int) -> None:
        """One point of each metric."""
        from mlflow.entities import Metric

        at = int(time.time() * 1000)
        self._client.log_batch(self._run_id, [Metric(name, value, at, step) for name, value in values.items()])

    def close(self, state: str) -> None:
        """End the run as the job ended."""
        self._client.set_terminated(self._run_id, _STATES.get(state, "KILLED"))


def open_mlflow(job: TuningJob, home: Path) -> Sink:
    """The job's run; the one that it has already, if it goes on after an interruption."""
    from mlflow import MlflowClient
    from mlflow.tracking import is_tracking_uri_set

    client = MlflowClient(None if is_tracking_uri_set() else f"sqlite:///{home / 'mlflow.db'}")
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
    return MLflow(client, _run_of(client, experiment, job))


def _run_of(client: Any, experiment: str, job: TuningJob) -> str:
    runs = client.search_runs([experiment], f"tags.`{JOB_TAG}` = '{job.id}'", max_results=1)
    if runs:
        client.update_run(runs[0].info.run_id, "RUNNING")
        return str(runs[0].info.run_id)
    run = client.create_run(experiment, run_name=job.spec.name, tags={JOB_TAG: job.id})
    for name, value in _parameters(job).items():
        client.log_param(run.info.run_id, name, value)
    return str(run.info.run_id)


def _parameters(job: TuningJob) -> dict[str, Any]:
    spec = job.spec
    about = {"base": spec.base, "method": spec.method, "dataset": job.dataset_hash}
    return about | spec.adapter | spec.hyperparameters.model_dump(mode="json", exclude_none=True)


MLFLOW = SinkKind("mlflow", module="mlflow", package="mlflow-skinny", open=open_mlflow)
