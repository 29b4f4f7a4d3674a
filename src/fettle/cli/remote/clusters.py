"""Clusters and endpoints at a server."""

from collections.abc import Sequence
from urllib.parse import quote

from fettle.cli.remote.connection import NATIVE, Connection
from fettle.types.clusters import Cluster, ClusterReport, ClusterSpec, ShapeOffer
from fettle.types.endpoints import Endpoint, EndpointSpec

CLUSTERS, ENDPOINTS = f"{NATIVE}/clusters", f"{NATIVE}/endpoints"


class RemoteClusters:
    """The clusters of the project that the key belongs to; each comes with its report."""

    def __init__(self, server: Connection) -> None:
        """The clusters at `server`."""
        self._server = server

    def create(self, spec: ClusterSpec) -> ClusterReport:
        """Reserve units."""
        return ClusterReport.model_validate(self._server.post(CLUSTERS, spec))

    def list(self) -> Sequence[ClusterReport]:
        """All that are not deleted, oldest first."""
        return [one for one in self._server.pages(CLUSTERS, ClusterReport) if one.state != "deleted"][::-1]

    def get(self, name: str) -> ClusterReport:
        """One of them by its id or name, or NotFound."""
        return ClusterReport.model_validate(self._server.get(f"{CLUSTERS}/{quote(name, safe='')}"))

    def report(self, cluster: Cluster) -> ClusterReport:
        """A cluster with what it holds and has cost."""
        return cluster if isinstance(cluster, ClusterReport) else self.get(cluster.id)

    def resize(self, name: str, units: int) -> ClusterReport:
        """Give a cluster another number of units."""
        path = f"{CLUSTERS}/{quote(name, safe='')}/resize"
        return ClusterReport.model_validate(self._server.post(path, {"units": units}))

    def delete(self, name: str, *, cascade: bool) -> ClusterReport:
        """Give its units back."""
        path = f"{CLUSTERS}/{quote(name, safe='')}"
        return ClusterReport.model_validate(self._server.delete(path, cascade=cascade))

    def offers(self, base: str | None) -> Sequence[ShapeOffer]:
        """What a unit can be."""
        page = self._server.get(f"{NATIVE}/shapes", base=base)
        return [ShapeOffer.model_validate(one) for one in page["data"]]


class RemoteEndpoints:
    """The endpoints of the project that the key belongs to."""

    def __init__(self, server: Connection) -> None:
        """The endpoints at `server`."""
        self._server = server

    def create(self, spec: EndpointSpec) -> Endpoint:
        """Serve a model under a name."""
        return Endpoint.model_validate(self._server.post(ENDPOINTS, spec))

    def list(self) -> Sequence[Endpoint]:
        """All that are not deleted, oldest first."""
        return [one for one in self._server.pages(ENDPOINTS, Endpoint) if one.state != "deleted"][::-1]

    def get(self, name: str) -> Endpoint:
        """One of them by its id or name, or NotFound."""
        return Endpoint.model_validate(self._server.get(_path(name)))

    def activate(self, name: str) -> Endpoint:
        """Have it answer again."""
        return Endpoint.model_validate(self._server.post(f"{_path(name)}/activate"))

    def deactivate(self, name: str) -> Endpoint:
        """Have it refuse requests."""
        return Endpoint.model_validate(self._server.post(f"{_path(name)}/deactivate"))

    def delete(self, name: str) -> Endpoint:
        """Give it up."""
        return Endpoint.model_validate(self._server.delete(_path(name)))


def _path(name: str) -> str:
    return f"{ENDPOINTS}/{quote(name, safe='')}"
