"""Dedicated AI clusters: units reserved from what this machine has, resized, metered and given back."""

import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import get_args

from fettle.errors import Conflict, FettleError, InvalidInput, unknown
from fettle.registry.base_models import BaseModels
from fettle.services.inventory import shapes
from fettle.services.unit_hours import unit_hours
from fettle.store.events import Event, EventLog, write_event
from fettle.store.repository import Records, Repository
from fettle.types.clusters import (
    DEFAULT_UNITS,
    MAX_UNITS,
    NAME_PATTERN,
    Capacity,
    Cluster,
    ClusterReport,
    ClusterSpec,
    ClusterState,
    ClusterType,
    Resources,
    ShapeOffer,
    UnitShape,
)
from fettle.types.endpoints import Endpoint
from fettle.types.ids import new_id, now
from fettle.types.resources import BaseModelEntry, JobState, TuningJob

log = logging.getLogger(__name__)
DEFAULT_SHAPE = "cpu-tiny"
UNITS_EVENT = "units"
_MAX_NAMED = 5
_LIVE = tuple(state for state in get_args(ClusterState) if state != "deleted")
_UNFINISHED: tuple[JobState, ...] = ("running", "queued", "paused")


class Clusters:
    """Reservations on one machine."""

    def __init__(
        self,
        repository: Repository,
        base_models: BaseModels,
        events: EventLog,
        machine: Resources,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """The clusters in `repository`, which share what `machine` has; `clock` says when it is."""
        self._repository, self._base_models, self._events = repository, base_models, events
        self._machine, self._clock = machine, clock

    def make_defaults(self) -> None:
        """On the first start, a small cluster of each type, so that nobody must make one to begin.

        Nobody asked for it, so its unit-hours begin with its first use.
        """
        if self._repository.everywhere.page(Cluster, limit=1):
            return
        for kind in get_args(ClusterType):
            units = min(DEFAULT_UNITS[kind], self._free_units(DEFAULT_SHAPE))
            try:
                spec = ClusterSpec(name=f"default-{kind.replace('_', '-')}", type=kind, units=units or None)
                self._reserve(spec, is_used=False)
            except Conflict as error:
                log.warning("no default cluster", extra={"type": kind, "error": str(error)})

    def create(self, spec: ClusterSpec) -> Cluster:
        """Reserve units.

        Raises:
            InvalidInput: the name, shape or base cannot be; all faults are told.
            Conflict: the name is taken, or the machine has not so many units left; with what would fit.
        """
        self._check(spec)
        return self._reserve(spec, is_used=True)

    def _reserve(self, spec: ClusterSpec, *, is_used: bool) -> Cluster:
        cluster = Cluster(
            id=new_id("cluster"),
            name=spec.name,
            type=spec.type,
            shape=spec.shape,
            units=spec.units or DEFAULT_UNITS[spec.type],
            base=spec.base,
            is_used=is_used,
            created_at=self._clock(),
        )
        with self._repository.write() as records:
            _check_is_new(records, cluster.name)
            self._check_room(records, shapes()[cluster.shape], cluster.units)
            records.insert(cluster)
            self._meter(records, cluster, cluster.units)
            return records.move(Cluster, cluster.id, "active")

    def list(self) -> list[Cluster]:
        """All that are not deleted, oldest first."""
        with self._repository.read() as records:
            return live(records)

    def page(self, *, after: str | None = None, limit: int) -> Sequence[Cluster]:
        """At most `limit` clusters, deleted ones too, the newest first, from behind the one with the id `after`.

        Raises:
            NotFound: there is no cluster `after`.
        """
        return self._repository.page(Cluster, after=after, limit=limit)

    def get(self, name: str) -> Cluster:
        """The cluster with this id (also if it is deleted) or name.

        Raises:
            NotFound: there is none; with the nearest name.
        """
        with self._repository.read() as records:
            return find_cluster(records, name)

    def report(self, cluster: Cluster) -> ClusterReport:
        """A cluster with what it holds and what it has cost so far."""
        return self.reports([cluster])[0]

    def reports(self, clusters: Sequence[Cluster]) -> Sequence[ClusterReport]:
        """Clusters with what each holds and has cost so far, all from one look at the records."""
        ids = [cluster.id for cluster in clusters]
        with self._repository.read() as records:
            endpoints = [one for one in records.find_any(Endpoint, "cluster_id", ids) if one.state != "deleted"]
        changes = self._events.of_all(ids, UNITS_EVENT)
        return [
            self._report(cluster, [one for one in endpoints if one.cluster_id == cluster.id], changes[cluster.id])
            for cluster in clusters
        ]

    def _report(self, cluster: Cluster, endpoints: Sequence[Endpoint], changes: Sequence[Event]) -> ClusterReport:
        shape, used = shapes()[cluster.shape], len(endpoints)
        held = unit_hours([(change.at, change.body["units"]) for change in changes], self._clock())
        hours = round(held, 9)
        return ClusterReport(
            **dict(cluster),
            reserved=shape.unit.times(cluster.units),
            serves=cluster.base or next((one.base for one in endpoints), None),
            capacity=Capacity(total=total_endpoints(cluster), used=used) if cluster.type == "hosting" else None,
            unit_hours=hours,
            cost=round(hours * shape.price_per_unit_hour, 9),
        )

    def resize(self, name: str, units: int) -> Cluster:
        """Give a cluster another number of units.

        Raises:
            NotFound: there is no such cluster.
            InvalidInput: the number cannot be.
            Conflict: the machine has not so many left, its endpoints need more, or the cluster is deleted.
        """
        if not 1 <= units <= MAX_UNITS:
            hint = "`delete` gives all of them back." if units < 1 else ""
            raise InvalidInput(f"{units} units: 1 to {MAX_UNITS} were expected", hint=hint, param="units")
        with self._repository.write() as records:
            cluster = find_cluster(records, name)
            _check_endpoints_fit(records, cluster, units)
            records.move(Cluster, cluster.id, "updating")
            self._check_room(records, shapes()[cluster.shape], units, without=cluster)
            self._meter(records, cluster, units)
            return records.move(Cluster, cluster.id, "active", units=units)

    def delete(self, name: str, *, cascade: bool = False) -> Cluster:
        """Give a cluster's units back; its record stays.

        Args:
            name: which; or its id.
            cascade: delete the endpoints on it, and cancel the jobs that wait for it, too.

        Raises:
            NotFound: there is no such cluster.
            Conflict: it is in use (by a running job: also with `cascade`), or deleted already.
        """
        with self._repository.write() as records:
            cluster = records.move(Cluster, find_cluster(records, name).id, "deleting")
            _give_up_endpoints(records, cluster, cascade=cascade)
            _give_up_jobs(records, cluster, cascade=cascade)
            self._meter(records, cluster, 0)
            return records.move(Cluster, cluster.id, "deleted", deleted_at=self._clock())

    def offers(self, base: str | None = None) -> Sequence[ShapeOffer]:
        """The shapes with the units that are free, for a base model only those that it fits on.

        Raises:
            NotFound: there is no such base model.
        """
        entry = self._base_models.get(base) if base else None
        fitting = [shape for shape in shapes().values() if entry is None or fits(entry, shape)]
        return [ShapeOffer(shape=shape, free_units=self._free_units(shape.name)) for shape in fitting]

    def _check(self, spec: ClusterSpec) -> None:
        faults = [] if re.fullmatch(NAME_PATTERN, spec.name) else [f"'name' is {spec.name!r}: {NAME_RULE}"]
        if spec.shape not in shapes():
            faults.append(f"'shape' is {spec.shape!r}: it should be one of {', '.join(shapes())}")
        if spec.base and spec.type != "hosting":
            faults.append("'base' is for hosting clusters: one for fine-tuning takes every base that its shape fits")
        if spec.base:
            faults += self._base_faults(spec.base, spec.shape)
        if faults:
            raise InvalidInput("\n".join(faults), param="name" if "'name'" in faults[0] else "shape")

    def _base_faults(self, base: str, shape: str) -> Sequence[str]:
        try:
            entry = self._base_models.get(base)
        except FettleError as error:
            return [str(error)]
        known = shapes().get(shape)
        return [] if known is None or fits(entry, known) else [no_fit(entry, known)]

    def _meter(self, records: Records, cluster: Cluster, units: int) -> None:
        if cluster.is_used:
            meter(records, cluster, units, self._clock())

    def _check_room(self, records: Records, shape: UnitShape, units: int, without: Cluster | None = None) -> None:
        free = self._free(records, without)
        if free.holds(shape.unit) >= units:
            return
        need = _resources_text(shape.unit.times(units))
        fitting = {one.name: free.holds(one.unit) for one in shapes().values()}
        would = ", ".join(f"{number} of {name}" for name, number in fitting.items() if number)
        raise Conflict(
            f"{units} units of {shape.name} need {need}; {_resources_text(free)} are free",
            hint=f"What would fit: {would or 'nothing'}. Or give units of other clusters back.",
            param="units",
        )

    def _free_units(self, shape: str) -> int:
        with self._repository.read() as records:
            return self._free(records).holds(shapes()[shape].unit)

    def _free(self, records: Records, without: Cluster | None = None) -> Resources:
        free = self._machine
        for cluster in live(records.everywhere):
            if without is None or cluster.id != without.id:
                free = free.less(shapes()[cluster.shape].unit.times(cluster.units))
        return free


def meter(records: Records, cluster: Cluster, units: int, at: datetime) -> None:
    """Write down how many units a cluster holds from a moment on."""
    write_event(records.connection, cluster.id, UNITS_EVENT, at, units=units, shape=cluster.shape)


def use(records: Records, cluster: Cluster, at: datetime) -> None:
    """Note that something is put on a cluster: the unit-hours of a default one begin."""
    if not cluster.is_used:
        records.update(cluster, is_used=True)
        meter(records, cluster, cluster.units, at)


def fits(base: BaseModelEntry, shape: UnitShape) -> bool:
    """Whether a base model can be tuned and served on units of a shape."""
    return base.parameters <= shape.max_parameters


def no_fit(base: BaseModelEntry, shape: UnitShape) -> str:
    """Why a base model does not fit on a shape, and on which it does."""
    fitting = [one.name for one in shapes().values() if fits(base, one)]
    return (
        f"{base.name!r} has {base.parameters:,} parameters: units of {shape.name} take up to {shape.max_parameters:,}; "
        f"it fits on {', '.join(fitting) or 'no shape'}"
    )


def live(records: Records) -> list[Cluster]:
    """The clusters that hold units, oldest first."""
    return records.find_any(Cluster, "state", _LIVE)


def find_cluster(records: Records, name: str) -> Cluster:
    """The cluster with this id (also if it is deleted) or name.

    Raises:
        NotFound: there is none; with the nearest name.
    """
    if by_id := records.find(Cluster, id=name):
        return by_id[0]
    named = {cluster.name: cluster for cluster in live(records)}
    if name not in named:
        raise unknown("cluster", name, named, param="cluster")
    return named[name]


def endpoints_on(records: Records, cluster: Cluster) -> list[Endpoint]:
    """The endpoints of a cluster, oldest first."""
    return [one for one in records.find(Endpoint, cluster_id=cluster.id) if one.state != "deleted"]


def base_of(records: Records, cluster: Cluster) -> str | None:
    """The base model that a hosting cluster serves; None while it has no endpoints and may take any."""
    return cluster.base or next((one.base for one in endpoints_on(records, cluster)), None)


def total_endpoints(cluster: Cluster, units: int | None = None) -> int:
    """The endpoints that a hosting cluster can have, with another number of units perhaps."""
    return (units or cluster.units) * shapes()[cluster.shape].max_endpoints


NAME_RULE = "letters, digits, dots, dashes and underscores were expected, 64 at most, beginning with a letter or digit"


def _check_endpoints_fit(records: Records, cluster: Cluster, units: int) -> None:
    used, total = len(endpoints_on(records, cluster)), total_endpoints(cluster, units)
    if used > total:
        fault = f"{cluster.name!r} has {used} endpoints; {units} units have room for {total}"
        raise Conflict(fault, hint="Delete some of them first.", param="units")


def _give_up_endpoints(records: Records, cluster: Cluster, *, cascade: bool) -> None:
    used = endpoints_on(records, cluster)
    if used and not cascade:
        named = ", ".join(one.name for one in used[:_MAX_NAMED]) + (", ..." if len(used) > _MAX_NAMED else "")
        fault = f"{cluster.name!r} is in use: {len(used)} endpoints are on it ({named})"
        raise Conflict(fault, hint="Delete them first, or cascade to delete them with it.", param="cascade")
    for endpoint in used:
        records.move(Endpoint, endpoint.id, "deleting")
        records.move(Endpoint, endpoint.id, "deleted")


def _give_up_jobs(records: Records, cluster: Cluster, *, cascade: bool) -> None:
    jobs = [job for state in _UNFINISHED for job in records.find(TuningJob, state=state)]
    used = [job for job in jobs if job.cluster_id == cluster.id]
    running = [job for job in used if job.state == "running"]
    if running or (used and not cascade):
        named = ", ".join(job.id for job in (running or used)[:_MAX_NAMED])
        fault = f"{cluster.name!r} is in use: {len(used)} jobs run on it or wait for it ({named})"
        hint = "Cancel what runs first." if running else "Cancel them first, or cascade to cancel them with it."
        raise Conflict(fault, hint=hint, param="cascade")
    for job in used:
        records.move(TuningJob, job.id, "cancelled", finished_at=now())


def _check_is_new(records: Records, name: str) -> None:
    if any(cluster.name == name for cluster in live(records)):
        raise Conflict(f"there is a cluster {name!r} already", hint="Give another name.", param="name")


def _resources_text(found: Resources) -> str:
    gpus = f", {found.gpus} GPUs" if found.gpus else ""
    return f"{found.cores:g} cores, {found.memory_bytes / 2**30:.1f} GiB{gpus}"
