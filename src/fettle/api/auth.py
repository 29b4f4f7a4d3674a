"""Who calls: the installation's own key or one of a project's, kept as hashes, compared in constant time."""

import asyncio
import os
import secrets
from pathlib import Path

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from fettle.api.permissions import check_declared, needed
from fettle.errors import StorageFailed, Unauthorized
from fettle.services.keys import Keys, digest_of, wrong_key
from fettle.types.access import INSTALLATION, SPENDS, Actor, Principal, act_as

KEY_FILE = "api-key.sha256"


class KeyCheck:
    """Knows the hash of the installation's own key: that of an administrator of the default project."""

    def __init__(self, digest: str) -> None:
        """A check for the key with this SHA-256."""
        self._digest = digest

    @classmethod
    def of(cls, key: str) -> "KeyCheck":
        """A check for `key`."""
        return cls(digest_of(key))

    def is_key(self, key: str) -> bool:
        """Whether it is the one."""
        return secrets.compare_digest(digest_of(key), self._digest)

    def __call__(self, request: Request) -> None:
        """Let the request pass if it carries the key.

        Raises:
            Unauthorized: it carries none or another one.
        """
        if not self.is_key(key_sent(request)):
            raise wrong_key()


class Authentication(SecurityBase):
    """Finds out whom a request comes from, before its route is called; the document says so of each route it guards."""

    def __init__(self, own: KeyCheck, keys: Keys) -> None:
        """By the installation's `own` key, and those of projects."""
        self._own, self._keys = own, keys
        self.scheme_name, self.model = "key", HTTPBearer(description="the installation's own key, or a project's")

    async def __call__(self, request: Request) -> None:
        """Leave the principal at the request, and name it in what the audit log tells from here on.

        Raises:
            Unauthorized: the request carries no key, or one that nobody has (any more).
            QuotaExceeded: the key has used up its requests or tokens.
            Forbidden: the route says of nobody that he may call it, and this is no administrator.
        """
        key = key_sent(request)
        principal = INSTALLATION if self._own.is_key(key) else await asyncio.to_thread(self._keys.authenticate, key)
        request.state.principal = principal
        if principal.counted_key and SPENDS.intersection(needed(request)):
            await asyncio.to_thread(self._keys.quotas.check_tokens, principal)
        check_declared(request, principal)
        # In the request's own task: it is this request's alone, and its threads inherit it.
        act_as(actor_of(request, principal))


def actor_of(request: Request, principal: Principal | None) -> Actor:
    """A principal as the audit log tells it; of who has no known key, the address."""
    host = request.client.host if request.client else ""
    return Actor(who=principal.key_id if principal else "", origin=host, request_id=request.scope.get("request_id", ""))


def key_sent(request: Request) -> str:
    """The key that a request carries.

    Raises:
        Unauthorized: it carries none.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized(
            "no API key was sent",
            hint="Send the header `Authorization: Bearer KEY` (api_key=... in OpenAI's clients).",
        )
    return key.strip()


def key_of_installation(home: Path, given: str, *, renew: bool = False) -> tuple[KeyCheck, str | None]:
    """The check for this installation, and the key itself if it was made just now: it is stored nowhere.

    Args:
        home: where the hash is kept.
        given: a key that is used instead; nothing is stored then.
        renew: make a new one, even if there is one.

    Raises:
        StorageFailed: the hash cannot be read or written.
    """
    if given:
        return KeyCheck.of(given), None
    path = home / KEY_FILE
    try:
        if path.exists() and not renew:
            return KeyCheck(_stored(path)), None
        key = f"fettle-{secrets.token_urlsafe(32)}"
        _write_private(path, digest_of(key))
    except OSError as error:
        raise StorageFailed(f"the API key's file {path} cannot be used: {error.strerror or error}") from error
    return KeyCheck.of(key), key


def _stored(path: Path) -> str:
    digest = path.read_text().strip()
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise StorageFailed(f"{path} does not hold a key's hash", hint="`fettle up --new-key` makes a new key.")
    return digest


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it is there whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
