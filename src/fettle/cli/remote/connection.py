"""Requests to a server's native routes: records in, records out, and its errors as they were raised there."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from fettle.clusters.frames import error_from
from fettle.errors import FettleError, InvalidInput, Unavailable
from fettle.types.record import Record

RecordT = TypeVar("RecordT", bound=Record)
NATIVE = "/api/v1"
PAGE = 100
#: A server's answer can take as long as what it is asked for; that it is there is known at once.
TIMEOUT = httpx.Timeout(None, connect=10)


def root_of(url: str) -> str:
    """The server's address, also where it was given as OpenAI's clients know it.

    Raises:
        InvalidInput: it is no address of a server.
    """
    root = url.rstrip("/").removesuffix("/v1").removesuffix("/api")
    if not root.startswith(("http://", "https://")):
        hint = "For example FETTLE_URL=http://127.0.0.1:8000"
        raise InvalidInput(
            f"FETTLE_URL={url!r}: an address that begins with http:// or https:// was expected", hint=hint
        )
    return root


def headers_of(key: str) -> dict[str, str]:
    """What every request carries."""
    return {"authorization": f"Bearer {key}"} if key else {}


class Connection:
    """A server, and who asks it."""

    def __init__(self, url: str, key: str) -> None:
        """The server at `url`, asked with an API key."""
        self.root, self.headers = root_of(url), headers_of(key)
        self._client = httpx.Client(base_url=self.root, headers=self.headers, timeout=TIMEOUT)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON that a route answers with."""
        return self._asked("GET", path, params=given(params)).json()

    def text(self, path: str) -> str:
        """The text that a route answers with."""
        return self._asked("GET", path).text

    def post(self, path: str, body: Record | Mapping[str, Any] | None = None) -> Any:
        """The JSON that a route answers with."""
        sent = body.model_dump(mode="json") if isinstance(body, Record) else body
        return self._asked("POST", path, json=sent).json()

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that a route answers with."""
        return self._asked("PATCH", path, json=body).json()

    def delete(self, path: str, **params: Any) -> Any:
        """The JSON that a route answers with."""
        return self._asked("DELETE", path, params=given(params)).json()

    def pages(self, path: str, kind: type[RecordT], **params: Any) -> Iterator[RecordT]:
        """All records that a route lists, in its order."""
        after: str | None = None
        while True:
            page = self.get(path, after=after, limit=PAGE, **params)
            yield from (kind.model_validate(one) for one in page["data"])
            if not (after := page["next"]):
                return

    def events(self, path: str, body: Record | Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What a route tells as server-sent events while it works.

        Raises:
            FettleError: the work has failed.
        """
        sent = body.model_dump(mode="json") if isinstance(body, Record) else body
        with self._streamed("POST", path, json=sent) as answer:
            yield from (event for line in answer.iter_lines() if (event := event_in(line)) is not None)

    @contextmanager
    def uploaded(self, *files: Path | None) -> Iterator[list[str | None]]:
        """The ids of files that are at the server for as long as the block runs."""
        ids: list[str | None] = []
        try:
            # One by one: what is there already is deleted when the next one fails.
            ids.extend(self.upload(file) if file else None for file in files)
            yield ids
        finally:
            for file_id in filter(None, ids):
                self.delete(f"/v1/files/{file_id}")

    def upload(self, file: Path) -> str:
        """The id of a file of examples that the server keeps."""
        with file.open("rb") as content:
            sent = {"data": {"purpose": "fine-tune"}, "files": {"file": (file.name, content)}}
            return str(self._asked("POST", "/v1/files", **sent).json()["id"])

    def download(self, path: str, to: Path) -> None:
        """Write what a route answers with to a file."""
        with self._streamed("GET", path) as answer, to.open("wb") as file:
            for part in answer.iter_bytes():
                file.write(part)

    def _asked(self, method: str, path: str, **sent: Any) -> httpx.Response:
        with told(self.root):
            answer = self._client.request(method, path, **sent)
        if answer.is_error:
            raise error_of(answer)
        return answer

    @contextmanager
    def _streamed(self, method: str, path: str, **sent: Any) -> Iterator[httpx.Response]:
        with told(self.root), self._client.stream(method, path, **sent) as answer:
            if answer.is_error:
                answer.read()
                raise error_of(answer)
            yield answer


def given(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that have a value."""
    return {name: value for name, value in params.items() if value is not None}


@contextmanager
def told(root: str) -> Iterator[None]:
    """Let an error of the network be one that says what to do.

    Raises:
        Unavailable: there is no server, or it has hung up.
    """
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        hint = "Does `fettle up` run there? FETTLE_URL says where; without it, commands work on this machine."
        raise Unavailable(f"the server at {root} does not answer: {error}", hint=hint) from error


def error_of(answer: httpx.Response) -> FettleError:
    """The error that a whole answer tells."""
    try:
        return error_in(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        hint = "Is FETTLE_URL the address of Fettle?"
        return FettleError(f"{answer.url} answered {answer.status_code}, and not as Fettle does", hint=hint)


def error_in(fields: Mapping[str, Any]) -> FettleError:
    """The error in the body of an answer; OpenAI's clients know a name of their own for an unknown model."""
    code = "not_found" if fields.get("code") == "model_not_found" else fields.get("code")
    return error_from({**fields, "code": code})


def event_in(line: str) -> dict[str, Any] | None:
    """What a line of server-sent events holds, if it is data.

    Raises:
        FettleError: it tells that the work has failed.
    """
    name, _, text = line.partition(":")
    if name != "data" or text.strip() == "[DONE]":
        return None
    event: dict[str, Any] = json.loads(text)
    if isinstance(event.get("error"), dict):
        raise error_in(event["error"])
    return event
