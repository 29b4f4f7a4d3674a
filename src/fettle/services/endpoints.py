"""Endpoints: models under names of their own on hosting clusters, switched on and off one by one."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fettle.errors import Conflict, InvalidInput, NotFound, unknown
from fettle.services.base_models import BaseModels
from fettle.services.clusters import (
    NAME_RULE,
    base_of,
    endpoints_on,
    find_cluster,
    fits,
    live,
    no_fit,
    total_endpoints,
    use,
)
from fettle.services.custom_models import CustomModels
from fettle.services.inventory import shapes
from fettle.store.repository import Records, Repository
from fettle.types.clusters import NAME_PATTERN, Cluster
from fettle.types.endpoints import Endpoint, EndpointSpec, EndpointState
from fettle.types.ids import new_id, now
from fettle.types.resources import BaseModelEntry


@dataclass(frozen=True)
class Place:
    """Where an endpoint's requests go."""

    model: str
    cluster_id: str
    threads: int


class Endpoints:
    """The names under which hosting clusters serve models."""

    def __init__(
        self,
        repository: Repository,
        base_models: BaseModels,
        custom_models: CustomModels,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """The endpoints in `repository`, for these models; `clock` says when it is."""
        self._repository, self._base_models, self._custom_models = repository, base_models, custom_models
        self._clock = clock

    def create(self, spec: EndpointSpec) -> Endpoint:
        """Serve a model under a name; the endpoint is active.

        Raises:
            InvalidInput: the name cannot be, or the cluster is not for hosting.
            NotFound: there is no such model or cluster.
            Conflict: the name is taken, the base does not fit the cluster, or there is no room on it.
        """
        self._check_name(spec.name)
        base = self._base_models.get(self._base_of(spec.model))
        with self._repository.write() as records:
            if _named(records, spec.name):
                raise Conflict(f"there is an endpoint {spec.name!r} already", hint="Give another name.", param="name")
            cluster = _chosen(records, spec.cluster, base)
            endpoint = Endpoint(
                id=new_id("endpoint"),
                name=spec.name,
                cluster_id=cluster.id,
                model=spec.model,
                base=base.name,
                created_at=self._clock(),
            )
            records.insert(endpoint)
            use(records, cluster, endpoint.created_at)
            return records.move(Endpoint, endpoint.id, "active")

    def list(self) -> list[Endpoint]:
        """All that are not deleted, oldest first."""
        return [endpoint for endpoint in self._repository.find(Endpoint) if endpoint.state != "deleted"]

    def active(self) -> Sequence[Endpoint]:
        """Those that answer now, and for which there still is a model."""
        return [one for one in self._repository.find(Endpoint, state="active") if self._is_served(one)]

    def active_names(self) -> Sequence[str]:
        """The names of those that answer now."""
        return [one.name for one in self.active()]

    def page(self, *, after: str | None = None, limit: int) -> Sequence[Endpoint]:
        """At most `limit` endpoints, deleted ones too, the newest first, from behind the one with the id `after`.

        Raises:
            NotFound: there is no endpoint `after`.
        """
        return self._repository.page(Endpoint, after=after, limit=limit)

    def get(self, name: str) -> Endpoint:
        """The endpoint with this id (also if it is deleted) or name.

        Raises:
            NotFound: there is none; with the nearest name.
        """
        with self._repository.read() as records:
            return _find(records, name)

    def activate(self, name: str) -> Endpoint:
        """Have an endpoint answer again.

        Raises:
            NotFound: there is no such endpoint, or no such model any more.
            Conflict: it is active, or deleted.
        """
        self._check_served(self.get(name))
        return self._move(name, "active")

    def deactivate(self, name: str) -> Endpoint:
        """Have an endpoint refuse requests; the others on its cluster go on.

        Raises:
            NotFound: there is no such endpoint.
            Conflict: it is not active.
        """
        return self._move(name, "inactive")

    def delete(self, name: str) -> Endpoint:
        """Give up an endpoint; its name and its room on the cluster are free again.

        Raises:
            NotFound: there is no such endpoint.
            Conflict: it is deleted already.
        """
        with self._repository.write() as records:
            deleting = records.move(Endpoint, _find(records, name).id, "deleting")
            return records.move(Endpoint, deleting.id, "deleted")

    def place(self, name: str) -> Place | None:
        """Where the requests to the endpoint of this name go; None when there is no such endpoint.

        Raises:
            NotFound: its model was deleted.
            Conflict: it is not active, or its label now means a model of another base.
        """
        with self._repository.read() as records:
            endpoint = _named(records, name)
            cluster = endpoint and records.get(Cluster, endpoint.cluster_id)
        if not endpoint or not cluster:
            return None
        if endpoint.state != "active":
            hint = f"`fettle endpoints activate {name}` has it answer again."
            raise Conflict(f"the endpoint {name!r} is {endpoint.state}", hint=hint, param="model")
        self._check_served(endpoint)
        cores = shapes()[cluster.shape].unit.cores * cluster.units
        return Place(endpoint.model, cluster.id, max(1, int(cores)))

    def _move(self, name: str, state: EndpointState) -> Endpoint:
        with self._repository.write() as records:
            return records.move(Endpoint, _find(records, name).id, state)

    def _check_name(self, name: str) -> None:
        if not re.fullmatch(NAME_PATTERN, name):
            raise InvalidInput(f"'name' is {name!r}: {NAME_RULE}", param="name")
        taken = {model.name for model in self._custom_models.list()} | {base.name for base in self._base_models.list()}
        if name in taken:
            hint = "Give another name, such as that of what it is for."
            raise Conflict(f"there is a model {name!r}, which an endpoint would hide", hint=hint, param="name")

    def _base_of(self, model: str) -> str:
        """The base of the custom model of this name, or the base model itself."""
        try:
            return self._custom_models.get(model).base
        except NotFound:
            if model in {base.name for base in self._base_models.list()}:
                return model
            raise

    def _check_served(self, endpoint: Endpoint) -> None:
        base = self._base_of(endpoint.model)
        if base != endpoint.base:
            fault = f"{endpoint.model!r} is now a model of {base!r}, and {endpoint.name!r} serves {endpoint.base!r}"
            raise Conflict(fault, hint="Make an endpoint for it on another cluster.", param="model")

    def _is_served(self, endpoint: Endpoint) -> bool:
        try:
            self._check_served(endpoint)
        except (NotFound, Conflict):
            return False
        return True


def _find(records: Records, name: str) -> Endpoint:
    if by_id := records.find(Endpoint, id=name):
        return by_id[0]
    if named := _named(records, name):
        return named
    known = [one.name for one in records.find(Endpoint) if one.state != "deleted"]
    raise unknown("endpoint", name, known, param="endpoint")


def _named(records: Records, name: str) -> Endpoint | None:
    return next((one for one in records.find(Endpoint, name=name) if one.state != "deleted"), None)


def _chosen(records: Records, name: str | None, base: BaseModelEntry) -> Cluster:
    """The named cluster if it can take an endpoint for `base`; without a name, the first that can."""
    if name is not None:
        cluster = find_cluster(records, name)
        if fault := _unfit(records, cluster, base):
            raise Conflict(fault, hint="Name another cluster, or make one for it.", param="cluster")
        return cluster
    faults = {one.name: _unfit(records, one, base) for one in live(records) if one.type == "hosting"}
    if free := next((cluster for cluster, fault in faults.items() if not fault), None):
        return find_cluster(records, free)
    told = "\n".join(f"  {cluster}: {fault}" for cluster, fault in faults.items())
    hint = f"Make one: `fettle clusters create NAME --type hosting --base {base.name}`."
    raise Conflict(f"no hosting cluster can take an endpoint for {base.name!r}\n{told}".strip(), hint=hint)


def _unfit(records: Records, cluster: Cluster, base: BaseModelEntry) -> str:
    """Why a cluster cannot take one more endpoint for a base model; "" when it can."""
    shape, serves = shapes()[cluster.shape], base_of(records, cluster)
    used, total = len(endpoints_on(records, cluster)), total_endpoints(cluster)
    if cluster.type != "hosting":
        return f"{cluster.name!r} is a cluster for fine-tuning: one for hosting was expected"
    if cluster.state != "active":
        return f"{cluster.name!r} is {cluster.state}"
    if serves not in (None, base.name):
        return f"it serves {serves!r}, and one base model only; this is a model of {base.name!r}"
    if not fits(base, shape):
        return no_fit(base, shape)
    return f"it has {used} endpoints, as many as its {cluster.units} units take" if used >= total else ""
