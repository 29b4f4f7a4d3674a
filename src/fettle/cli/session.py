"""The platform of this installation, for as long as a command runs."""

import getpass
import os
import platform as machine
from collections.abc import Iterator
from contextlib import contextmanager

from fettle.services.platform import Platform
from fettle.settings import load_settings
from fettle.types.access import Actor, acting_as


@contextmanager
def opened() -> Iterator[Platform]:
    """The platform of the home that the environment names, closed afterwards.

    Raises:
        InvalidInput: a setting in the environment is out of bounds.
        StorageFailed: the home cannot be written.
    """
    user = Actor(who=f"user:{_user()}", origin=machine.node())
    # Not earlier: what opening puts in line is not the user's doing.
    with Platform(load_settings()) as platform, acting_as(user):
        yield platform


def _user() -> str:
    """Who is logged in, as the audit log tells it; a user of a container may have a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
