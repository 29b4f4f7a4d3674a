"""Dedicated AI clusters: units of a shape that are reserved for one project, and what they hold."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from fettle.types.record import Record

ClusterType = Literal["fine_tuning", "hosting"]
ClusterState = Literal["creating", "active", "updating", "deleting", "deleted", "failed"]
MAX_UNITS = 1024
DEFAULT_UNITS: dict[ClusterType, int] = {"fine_tuning": 2, "hosting": 1}
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What a cluster or an endpoint can be called; no model's version looks so, as that has a colon."""


class Resources(Record):
    """What a machine has, or what is needed of it."""

    cores: float = Field(ge=0)
    memory_bytes: int = Field(ge=0)
    gpus: int = Field(ge=0)

    def times(self, number: int) -> "Resources":
        """So many of these."""
        return Resources(cores=self.cores * number, memory_bytes=self.memory_bytes * number, gpus=self.gpus * number)

    def less(self, other: "Resources") -> "Resources":
        """What is left when `other` is taken away; never less than nothing."""
        return Resources(
            cores=max(0.0, self.cores - other.cores),
            memory_bytes=max(0, self.memory_bytes - other.memory_bytes),
            gpus=max(0, self.gpus - other.gpus),
        )

    def holds(self, unit: "Resources") -> int:
        """How many times `unit` fits."""
        pairs = ((self.cores, unit.cores), (self.memory_bytes, unit.memory_bytes), (self.gpus, unit.gpus))
        return min((int(have // need) for have, need in pairs if need), default=MAX_UNITS)


class UnitShape(Record):
    """What a unit is."""

    name: str
    description: str
    unit: Resources = Field(description="what one unit reserves")
    price_per_unit_hour: Decimal = Field(ge=0)
    max_parameters: int = Field(ge=1, description="of the greatest base model that fits")
    max_endpoints: int = Field(ge=1, description="endpoints per unit of a hosting cluster")


class ShapeOffer(Record):
    """A shape, and how many of its units could be had now."""

    shape: UnitShape
    free_units: int


class ClusterSpec(Record):
    """A cluster as it is asked for."""

    name: str = Field(description="letters, digits, dots, dashes and underscores; 64 at most")
    type: ClusterType
    shape: str = Field(default="cpu-tiny", description="of a unit; see the shapes")
    units: int | None = Field(
        default=None, ge=1, le=MAX_UNITS, description="None takes 2 for fine-tuning, 1 for hosting"
    )
    base: str | None = Field(default=None, description="the one base model it serves; None: that of its endpoints")


class Cluster(Record):
    """A reservation of units."""

    id: str
    project_id: str = "default"
    name: str
    type: ClusterType
    state: ClusterState = "creating"
    shape: str
    units: int
    base: str | None = None
    is_used: bool = Field(default=True, description="a default cluster is not until something is put on it")
    created_at: datetime
    deleted_at: datetime | None = None


class Capacity(Record):
    """Endpoints of a hosting cluster."""

    total: int
    used: int


class ClusterReport(Cluster):
    """A cluster with what it holds and what it has cost so far."""

    reserved: Resources
    serves: str | None = Field(default=None, description="the base model of its endpoints")
    capacity: Capacity | None = Field(default=None, description="of a hosting cluster")
    unit_hours: Decimal
    cost: Decimal
