"""Where tuning jobs run: a fine-tuning cluster takes them one after another, with the cores of its units."""

from fettle.errors import Conflict
from fettle.services.clusters import find_cluster, fits, no_fit
from fettle.services.inventory import shapes
from fettle.store.repository import Records, Repository
from fettle.types.clusters import Cluster
from fettle.types.resources import BaseModelEntry, TuningJob


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


def check_is_free(records: Records, job: TuningJob) -> None:
    """See that no other job runs on the job's cluster.

    Raises:
        Conflict: one does.
    """
    others = [one for one in records.find(TuningJob, state="running") if one.id != job.id]
    busy = next((one for one in others if job.cluster_id and one.cluster_id == job.cluster_id), None)
    if busy:
        hint = f"Wait for it, or cancel it: the job {job.id!r} is queued."
        raise Conflict(f"the job's cluster is busy with {busy.id!r}", hint=hint, param="cluster")


def threads_of(repository: Repository, job: TuningJob, default: int) -> int:
    """How many threads work on a job: one for each core of its cluster, or `default` if it has none."""
    if not job.cluster_id:
        return default
    cluster = repository.get(Cluster, job.cluster_id)
    return max(1, int(shapes()[cluster.shape].unit.cores * cluster.units))
