"""The installation that a command works with: this machine's, or a server's where FETTLE_URL names one."""

import getpass
import os
import platform as machine
from collections.abc import Iterator
from contextlib import contextmanager

from fettle.cli.here import Here
from fettle.cli.installation import Installation
from fettle.errors import InvalidInput
from fettle.services.platform import Platform
from fettle.settings import load_settings
from fettle.types.access import Actor, acting_as


@contextmanager
def opened() -> Iterator[Installation]:
    """What commands work with: the server at FETTLE_URL, or else the home that the environment names.

    Raises:
        InvalidInput: a setting in the environment is out of bounds.
        StorageFailed: the home cannot be written.
    """
    settings = load_settings()
    if not settings.url:
        with opened_here("") as platform:
            yield Here(platform)
        return
    # Imported when it is needed, as it loads what speaks HTTP.
    from fettle.cli.remote import Remote

    with Remote(settings) as server:
        yield server


@contextmanager
def opened_here(command: str) -> Iterator[Platform]:
    """The platform of the home that the environment names, closed afterwards; for commands that work on it only.

    Raises:
        InvalidInput: `command` cannot be carried out by a server, and FETTLE_URL names one; or as `opened`.
        StorageFailed: the home cannot be written.
    """
    check_here(command)
    user = Actor(who=f"user:{_user()}", origin=machine.node())
    # Not earlier: what opening puts in line is not the user's doing.
    with Platform(load_settings()) as platform, acting_as(user):
        yield platform


def check_here(command: str) -> None:
    """See that a command is meant for this machine.

    Raises:
        InvalidInput: FETTLE_URL says that commands are carried out by a server.
    """
    if command and (url := load_settings().url):
        told = f"`fettle {command}` works on this machine only, and FETTLE_URL names the server {url}"
        raise InvalidInput(told, hint="Unset FETTLE_URL, or run it on the server's machine.", param="url")


def _user() -> str:
    """Who is logged in, as the audit log tells it; a user of a container may have a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
