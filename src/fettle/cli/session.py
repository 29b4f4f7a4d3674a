"""The platform of this installation, for as long as a command runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from fettle.services.platform import Platform
from fettle.settings import load_settings


@contextmanager
def opened() -> Iterator[Platform]:
    """The platform of the home that the environment names, closed afterwards.

    Raises:
        InvalidInput: a setting in the environment is out of bounds.
        StorageFailed: the home cannot be written.
    """
    with Platform(load_settings()) as platform:
        yield platform
