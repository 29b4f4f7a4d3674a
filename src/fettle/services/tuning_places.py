"""Where tuning jobs run: a fine-tuning cluster takes them one after another, with the cores of its units."""

from pathlib import Path

from fettle.adapters.methods import METHODS
from fettle.errors import Conflict
from fettle.services.clusters import find_cluster, fits, no_fit, use
from fettle.services.inventory import shapes
from fettle.store.repository import Records, Repository
from fettle.types.clusters import Cluster
from fettle.types.ids import now
from fettle.types.resources import BaseModelEntry, TuningJob

#: Every process holds a base model of its own, which is read anew.
MAX_COPIED_BYTES = 64 * 2**20
#: Of rows in all passes: with less, a job is over before the processes have started.
WORTHWHILE_BYTES = 2**20
#: A process with fewer rows of each step waits more than it computes.
MIN_ROWS = 4


def cluster_for(records: Records, name: str, base: BaseModelEntry) -> Cluster:
    """The fine-tuning cluster of this name or id, on which a base model can be tuned.

    Raises:
        NotFound: there is no such cluster.
        Conflict: it is for hosting, not active, or too small.
    """
    cluster = find_cluster(records, name)
    shape = shapes()[cluster.shape]
    if cluster.type != "fine_tuning":
        fault = f"{cluster.name!r} is a cluster for hosting: one for fine-tuning was expected"
        raise Conflict(fault, hint="Name another, or make one with --type fine_tuning.", param="cluster")
    if cluster.state != "active":
        raise Conflict(f"{cluster.name!r} is {cluster.state}", hint="Name another cluster.", param="cluster")
    if not fits(base, shape):
        raise Conflict(no_fit(base, shape), hint="Name another cluster.", param="cluster")
    return cluster


def place_for(records: Records, name: str, base: BaseModelEntry) -> str:
    """The id of the cluster of this name, on which a job is put now; raises as `cluster_for`."""
    cluster = cluster_for(records, name, base)
    use(records, cluster, now())
    return cluster.id


def check_is_free(records: Records, job: TuningJob) -> None:
    """See that no other job, or other sweep, runs on the job's cluster.

    Raises:
        Conflict: one does.
    """
    others = [one for one in records.find(TuningJob, state="running") if one.id != job.id and not _is_beside(one, job)]
    busy = next((one for one in others if job.cluster_id and one.cluster_id == job.cluster_id), None)
    if busy:
        hint = f"Wait for it, or cancel it: the job {job.id!r} is queued."
        raise Conflict(f"the job's cluster is busy with {busy.id!r}", hint=hint, param="cluster")


def _is_beside(one: TuningJob, other: TuningJob) -> bool:
    """Whether one worker trains both."""
    return one.sweep is not None and one.sweep == other.sweep


def threads_of(repository: Repository, job: TuningJob, default: int) -> int:
    """How many threads work on a job: one for each core of its cluster, or `default` if it has none."""
    if not job.cluster_id:
        return default
    cluster = repository.get(Cluster, job.cluster_id)
    return max(1, int(shapes()[cluster.shape].unit.cores * cluster.units))


def processes_of(job: TuningJob, base: BaseModelEntry, threads: int) -> int:
    """How many processes share a job where nobody has said: one for each thread, if that is faster than threads.

    It is for adapters on small models (benchmarks/LOG.md): threads must meet after each of a step's many small
    products, processes once in a step.
    """
    method, settings = METHODS.get(job.spec.method), job.spec.hyperparameters
    is_adapter = method is not None and method.kind is not None
    is_long = Path(job.train_path).stat().st_size * settings.epochs >= WORTHWHILE_BYTES
    if not is_adapter or not is_long or base.size_bytes > MAX_COPIED_BYTES:
        return 1
    rows = MIN_ROWS * 2 if settings.batch_size == "auto" else settings.batch_size
    return max(1, min(threads, rows // MIN_ROWS))
