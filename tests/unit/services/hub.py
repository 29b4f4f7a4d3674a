"""A stand-in for a model hub on the loopback: the few routes that a download needs, and how it can go wrong."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Hub(ThreadingHTTPServer):
    """Serves each folder below `root` as the model `org/<folder>`.

    Attributes:
        gated: models that need an accepted licence.
        break_at: byte of a weights file at which the connection is cut; None never.
        sent: path and first byte of each file that was sent.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.gated: set[str] = set()
        self.break_at: int | None = None
        self.sent: list[tuple[str, int]] = []

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running(root: Path) -> Iterator[Hub]:
    hub = Hub(root)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Be quiet."""

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, *, has_body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._api(parts[2:], has_body=has_body)
        else:
            self._file(parts, has_body=has_body)

    def _api(self, parts: list[str], *, has_body: bool) -> None:
        folder = self._folder(parts[1])
        if folder is None:
            self._refuse(404, "RepoNotFound", has_body=has_body)
        elif parts[2:3] == ["tree"]:
            self._json([_tree_entry(path) for path in sorted(folder.iterdir())], has_body=has_body)
        else:
            self._json(_info(folder), has_body=has_body)

    def _file(self, parts: list[str], *, has_body: bool) -> None:
        name = "/".join(parts[4:])
        folder = self._folder(parts[1])
        if folder is None:
            self._refuse(404, "RepoNotFound", has_body=has_body)
        elif parts[1] in self.server.gated:
            self._refuse(403, "GatedRepo", has_body=has_body)
        elif not (folder / name).is_file():
            self._refuse(404, "EntryNotFound", has_body=has_body)
        else:
            self._send(folder / name, has_body=has_body)

    def _send(self, path: Path, *, has_body: bool) -> None:
        content = path.read_bytes()
        begin = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", _commit(path.parent))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if has_body:
            self.server.sent.append((path.name, begin))
            self._write(path.name, content[begin:], begin)

    def _write(self, name: str, content: bytes, begin: int) -> None:
        break_at = self.server.break_at
        if name.endswith(".safetensors") and break_at is not None:
            self.wfile.write(content[: max(break_at - begin, 0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(content)

    def _folder(self, name: str) -> Path | None:
        folder = self.server.root / name
        return folder if folder.is_dir() else None

    def _json(self, value: object, *, has_body: bool) -> None:
        self._body(200, json.dumps(value).encode(), {}, has_body=has_body)

    def _refuse(self, status: int, code: str, *, has_body: bool) -> None:
        self._body(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code}, has_body=has_body)

    def _body(self, status: int, body: bytes, headers: dict[str, str], *, has_body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body:
            self.wfile.write(body)


def _commit(folder: Path) -> str:
    return hashlib.sha1(folder.name.encode(), usedforsecurity=False).hexdigest()


def _info(folder: Path) -> dict[str, Any]:
    siblings = [{"rfilename": path.name} for path in sorted(folder.iterdir())]
    identity = {"id": f"org/{folder.name}", "modelId": f"org/{folder.name}", "sha": _commit(folder)}
    return identity | {"siblings": siblings, "cardData": {"license": "mit"}, "tags": [], "private": False}


def _tree_entry(path: Path) -> dict[str, Any]:
    return {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _commit(path)}
