"""Files over HTTP that go on where they stopped, also in another process; whole and checked, or not there."""

import hashlib
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from fettle.errors import Unavailable

_FRUITLESS_TRIES = 3
_PAUSE_SECONDS = 0.5
_TIMEOUT = httpx.Timeout(30.0)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server; `etag` changes with its content, and is its SHA-256 where the server says so."""

    url: str
    size_bytes: int
    etag: str


def fetch(file: RemoteFile, target: Path, headers: Mapping[str, str]) -> None:
    """Bring a file to `target`; what an earlier call brought of the same content is kept.

    Raises:
        Unavailable: the connection broke again and again, or what came is not the file.
        OSError: it cannot be written.
    """
    # With the etag: when the file was changed on the server, the beginning of the old one is of no use.
    partial = target.with_name(f".{target.name}.{hashlib.sha256(file.etag.encode()).hexdigest()[:16]}")
    _fetch_all(file, partial, headers)
    if _SHA256.fullmatch(file.etag) and _sha256(partial) != file.etag:
        partial.unlink()
        raise Unavailable(f"{target.name} was damaged on its way", hint="Run the command again.")
    partial.rename(target)


def _fetch_all(file: RemoteFile, partial: Path, headers: Mapping[str, str]) -> None:
    fruitless = 0
    while (before := _size(partial)) < file.size_bytes or not partial.exists():
        try:
            _fetch_rest(file, partial, before, headers)
        except httpx.TransportError:
            fruitless = 0 if _size(partial) > before else fruitless + 1
            if fruitless == _FRUITLESS_TRIES:
                raise
            time.sleep(_PAUSE_SECONDS * fruitless)


def _fetch_rest(file: RemoteFile, partial: Path, begin: int, headers: Mapping[str, str]) -> None:
    # identity: of a compressed answer, ranges would count other bytes.
    asked = {**headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
    with httpx.stream("GET", file.url, headers=asked, timeout=_TIMEOUT, follow_redirects=True) as response:
        response.raise_for_status()
        is_rest = response.status_code == httpx.codes.PARTIAL_CONTENT
        with partial.open("ab" if is_rest else "wb") as written:
            for block in response.iter_raw():  # as it comes: what waits to fill a larger block is lost at a break
                written.write(block)
            written.flush()
            os.fsync(written.fileno())
    if _size(partial) != file.size_bytes:
        partial.unlink()
        raise Unavailable(f"{file.url} has another size than was told", hint="Run the command again.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
