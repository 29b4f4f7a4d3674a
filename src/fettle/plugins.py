"""Named tables: a visible list in the code, plus what other packages add through entry points."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from fettle.errors import unknown

T = TypeVar("T")


class Table(Mapping[str, T], Generic[T]):
    """The entries of one kind by name, e.g. `KINDS["lora"]`; the list is in the code, plugins are added to it.

    Other packages add entries under the entry point group `fettle.<group>`.
    """

    def __init__(self, what: str, group: str, entries: Mapping[str, T]) -> None:
        self.what, self.group, self._own = what, group, dict(entries)

    @cached_property
    def _entries(self) -> dict[str, T]:
        added = {point.name: point.load() for point in entry_points(group=f"fettle.{self.group}")}
        return {**added, **self._own}

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise unknown(self.what, name, self._entries, param=self.group)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def by_name(entries: list[T], name: Callable[[T], str] = lambda entry: entry.name) -> dict[str, T]:  # type: ignore[attr-defined]
    """A mapping from each entry's own name to the entry."""
    return {name(entry): entry for entry in entries}
