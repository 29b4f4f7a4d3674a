"""Who may call: one API key, kept as a hash, compared in constant time."""

import hashlib
import os
import secrets
from pathlib import Path

from fastapi import Request

from fettle.errors import StorageFailed, Unauthorized

KEY_FILE = "api-key.sha256"


class KeyCheck:
    """Knows the hash of the key that clients must send."""

    def __init__(self, digest: str) -> None:
        """A check for the key with this SHA-256."""
        self._digest = digest

    @classmethod
    def of(cls, key: str) -> "KeyCheck":
        """A check for `key`."""
        return cls(hash_of(key))

    def __call__(self, request: Request) -> None:
        """Let the request pass if it carries the key.

        Raises:
            Unauthorized: it carries none or another one.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorized(
                "no API key was sent",
                hint="Send the header `Authorization: Bearer KEY` (api_key=... in OpenAI's clients).",
            )
        if not secrets.compare_digest(hash_of(key.strip()), self._digest):
            raise Unauthorized(
                "the API key is wrong",
                hint="`fettle up` printed it at its first start; `fettle up --new-key` makes another.",
            )


def hash_of(key: str) -> str:
    """SHA-256 in hex; keys are random, so nothing slower is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


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
        _write_private(path, hash_of(key))
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
