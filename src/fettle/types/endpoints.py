"""Endpoints: names under which hosting clusters serve models; and labels, which move from version to version."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from fettle.types.record import Record

EndpointState = Literal["creating", "active", "inactive", "deleting", "deleted", "failed"]


class EndpointSpec(Record):
    """An endpoint as it is asked for."""

    name: str = Field(description="letters, digits, dots, dashes and underscores; 64 at most")
    model: str = Field(
        min_length=1,
        max_length=512,
        description="NAME:VERSION, NAME:LABEL (moves with the label), NAME (the newest version), or a base model",
    )
    cluster: str | None = Field(default=None, description="a hosting cluster; None takes the first that has room")


class Endpoint(Record):
    """A stable name for a model on a hosting cluster."""

    id: str
    project_id: str = "default"
    name: str
    cluster_id: str
    state: EndpointState = "creating"
    model: str = Field(description="as it was named: a label or the name of a version set is looked up anew each time")
    base: str = Field(description="the base model; whatever the name comes to mean, it is a model of this base")
    created_at: datetime


class VersionLabel(Record):
    """A word such as 'production' that means a version of a custom model, until it is moved to another."""

    id: str
    project_id: str = "default"
    name: str = Field(description="of the version set")
    label: str
    version: int
