"""What a name may mean at a time: while it is changed, both the old and the new are right."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from home import VERSIONS, num_versions

from fettle.testing.installation import BASE

T = TypeVar("T")
FOREVER = float("inf")
LABEL = "production"
#: Endpoint -> the label that it follows.
ENDPOINTS = {f"ask-{name}": f"{name}:{LABEL}" for name in VERSIONS}


@dataclass
class Period(Generic[T]):
    """Something was so from the moment at which it was asked for until its successor was there."""

    value: T
    begins: float
    ends: float = FOREVER


class Timeline(Generic[T]):
    """What something was, and when."""

    def __init__(self, value: T) -> None:
        self._periods = [Period(value, -FOREVER)]

    @property
    def now(self) -> T:
        """What it is, or is becoming."""
        return self._periods[-1].value

    @contextmanager
    def change(self, value: T) -> Iterator[None]:
        """Inside, it becomes `value`: at any moment of the block."""
        before = self._periods[-1]
        self._periods.append(Period(value, time.monotonic()))
        yield
        before.ends = time.monotonic()

    def since(self, moment: float) -> set[T]:
        """All that it may have been from a moment until now."""
        return {period.value for period in self._periods if period.ends >= moment}


@dataclass
class Names:
    """All names that can be asked, and what they may mean.

    Attributes:
        labels: by version set, the version that its label means.
        active: by endpoint, whether it answers.
        is_hurt: whether an engine was killed and its successor is not ready yet.
    """

    labels: dict[str, Timeline[int]] = field(default_factory=lambda: {name: Timeline(1) for name in VERSIONS})
    active: dict[str, Timeline[bool]] = field(default_factory=lambda: {name: Timeline(True) for name in ENDPOINTS})
    is_hurt: Timeline[bool] = field(default_factory=lambda: Timeline(False))

    def all(self) -> list[str]:
        """The base, every version, every version set, every label and every endpoint."""
        versions = [f"{name}:{number}" for name in VERSIONS for number in range(1, num_versions(name) + 1)]
        return [BASE, *versions, *VERSIONS, *(f"{name}:{LABEL}" for name in VERSIONS), *ENDPOINTS]

    def meanings(self, name: str, since: float) -> set[str]:
        """The full names of the models that may have answered a request to `name` that was sent at `since`."""
        if name in ENDPOINTS:
            return self.meanings(ENDPOINTS[name], since)
        if name in VERSIONS:
            return {f"{name}:{num_versions(name)}"}
        start, _, end = name.partition(":")
        return {f"{start}:{number}" for number in self.labels[start].since(since)} if end == LABEL else {name}

    def may_refuse(self, name: str, since: float) -> set[tuple[int, str]]:
        """Status and code of the errors that are right for a request to `name` that was sent at `since`."""
        refusals = set()
        if name in self.active and False in self.active[name].since(since):
            refusals.add((409, "conflict"))
        if True in self.is_hurt.since(since):
            refusals.add((503, "unavailable"))
        return refusals

    def must_refuse(self, name: str, since: float) -> bool:
        """Whether no answer at all is right: the endpoint was off all the time."""
        return name in self.active and self.active[name].since(since) == {False}
