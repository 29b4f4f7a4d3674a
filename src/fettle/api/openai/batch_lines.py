"""The lines of a batch's files: requests that are checked before any is answered, and answers as OpenAI writes them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import msgspec
from pydantic import Field

from fettle.api.backend import Backend, Backends
from fettle.api.errors import bug, error_body
from fettle.api.openai.chat import chat_body
from fettle.api.openai.completions import completion_body
from fettle.api.openai.embeddings import EmbeddingRequest, embedding_body
from fettle.api.openai.responses import begun, response_body
from fettle.api.openai.responses_shapes import ResponseRequest
from fettle.api.openai.shapes import ChatRequest, CompletionRequest, parsed
from fettle.api.streaming import encode
from fettle.data.files import Fault, Row, scan_rows
from fettle.errors import FettleError, InvalidInput, NotFound, TooManyRequests, Unavailable
from fettle.services.batch_journal import Answer
from fettle.services.batches import Checked
from fettle.types.generation import BATCH, GenerateRequest
from fettle.types.ids import new_id
from fettle.types.record import Record
from fettle.types.resources import Batch, BatchFault

MAX_REQUESTS = 50_000
MAX_FAULTS = 1000
#: Times that a request is sent whose engine dies; a request may be what it dies of.
MAX_TRIES = 3
RETRY_SECONDS = 1.0
#: JSON does not escape these in texts.
_LINE_ENDS = "\x85\u2028\u2029"


@dataclass(frozen=True)
class Endpoint:
    """A route that batches can ask: the shape of a body, and what answers it."""

    kind: type[Record]
    answer: Callable[[Any, Backend], Awaitable[bytes]]


async def _chat(asked: ChatRequest, backend: Backend) -> bytes:
    return await chat_body(asked, backend.generate([_patient(asked.generate_request())]))


async def _completion(asked: CompletionRequest, backend: Backend) -> bytes:
    return await completion_body(asked, backend.generate([_patient(one) for one in asked.generate_requests()]))


async def _response(asked: ResponseRequest, backend: Backend) -> bytes:
    generated, answer = await begun(asked, backend)
    return await response_body(answer, backend.generate([_patient(generated)]), backend)


def _patient(request: GenerateRequest) -> GenerateRequest:
    """The same request, which lets those go first that somebody waits for."""
    return request.model_copy(update={"priority": BATCH})


ENDPOINTS = {
    "/v1/chat/completions": Endpoint(ChatRequest, _chat),
    "/v1/completions": Endpoint(CompletionRequest, _completion),
    "/v1/responses": Endpoint(ResponseRequest, _response),
    "/v1/embeddings": Endpoint(EmbeddingRequest, embedding_body),
}


class BatchLine(Record):
    """A request as it stands in the input file."""

    custom_id: str = Field(min_length=1, max_length=512)
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


class BatchLines:
    """What the lines of batches mean to this server."""

    def __init__(self, backends: Backends) -> None:
        """Lines that the backend of their project answers, as it answers what is asked live."""
        self._backends = backends

    def check(self, batch: Batch, path: Path) -> Checked:
        """What is wrong with the requests in a file, if anything is."""
        check = _Check(batch.endpoint, self._backends.of(batch.project_id))
        try:
            for item in scan_rows(path):
                check.see(item)
        except InvalidInput as error:
            check.faults.append(BatchFault(code="invalid_file", message=str(error).replace(str(path), "the file")))
        return check.checked()

    async def answer(self, batch: Batch, row: Row) -> Answer:
        """The answer to a request that was checked; also if it is an error."""
        try:
            status, body = 200, await self._tried(batch, row.value["body"])
        except FettleError as error:
            status, body = error.http_status, encode(error_body(error))
        except Exception as error:  # noqa: BLE001 - as for a live request, of which nobody else hears either
            status, body = 500, encode(error_body(bug(error)))
        response = {"status_code": status, "request_id": new_id("req"), "body": msgspec.Raw(body)}
        return _answer(row, is_error=status != 200, response=response, error=None)

    def expired(self, row: Row) -> Answer:
        """What is told of a request that was not answered in time."""
        message = "This request could not be executed before the completion window expired."
        return _answer(row, is_error=True, response=None, error={"code": "batch_expired", "message": message})

    async def _tried(self, batch: Batch, body: Any) -> bytes:
        """The answer; who is asked live goes first, and an engine that died is asked again."""
        endpoint, backend = ENDPOINTS[batch.endpoint], self._backends.of(batch.project_id, batch.key_id)
        asked, num_tries = parsed(endpoint.kind, encode(body)), 0
        while True:
            try:
                return await endpoint.answer(asked, backend)
            except TooManyRequests:
                pass
            except Unavailable:
                num_tries += 1
                if num_tries == MAX_TRIES:
                    raise
            await asyncio.sleep(RETRY_SECONDS)


class _Check:
    """Looks at one request after the other."""

    def __init__(self, endpoint: str, backend: Backend) -> None:
        self._endpoint, self._fault_of_model = endpoint, cache(_model_check(backend))
        self._lines: dict[str, int] = {}
        self._models: set[str] = set()
        self._num_requests = 0
        self.faults: list[BatchFault] = []

    def see(self, item: Row | Fault) -> None:
        self._num_requests += 1
        self.faults += self._faults_of(item)

    def checked(self) -> Checked:
        faults, left = self.faults[:MAX_FAULTS], len(self.faults) - MAX_FAULTS
        if left > 0:
            faults.append(BatchFault(code="more_faults", message=f"{left} more faults are not listed"))
        if self._num_requests > MAX_REQUESTS:
            told = f"{self._num_requests} requests; {MAX_REQUESTS} are possible in one batch"
            faults.append(BatchFault(code="too_many_tasks", message=told))
        model = next(iter(self._models)) if len(self._models) == 1 else None
        return Checked(self._num_requests, tuple(faults), model)

    def _faults_of(self, item: Row | Fault) -> Iterator[BatchFault]:
        if isinstance(item, Fault):
            yield BatchFault(code="invalid_json_line", line=item.line, message=item.text)
            return
        try:
            line = BatchLine.checked(item.value)
        except InvalidInput as error:
            yield BatchFault(code="invalid_request", line=item.line, message=str(error), param=error.param or None)
            return
        for code, param, message in chain(self._faults_around(line, item.line), self._faults_inside(line.body)):
            yield BatchFault(code=code, line=item.line, message=message, param=param)

    def _faults_around(self, line: BatchLine, number: int) -> Iterator[tuple[str, str, str]]:
        first = self._lines.setdefault(line.custom_id, number)
        if first != number:
            yield "duplicate_custom_id", "custom_id", f"the custom_id {line.custom_id!r} stands in line {first} too"
        if line.url != self._endpoint:
            yield "invalid_url", "url", f"'url' is {line.url!r}: the batch's endpoint {self._endpoint!r} was expected"

    def _faults_inside(self, body: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        if body.get("stream"):
            yield "invalid_request", "body.stream", "'stream' is true: answers in a batch come as a whole"
        model = body.get("model")
        if isinstance(model, str) and model:
            self._models.add(model)
            if fault := self._fault_of_model(model):
                yield "model_not_found", "body.model", fault
        try:
            parsed(ENDPOINTS[self._endpoint].kind, encode(body))
        except InvalidInput as error:
            yield "invalid_request", f"body.{error.param}" if error.param else "body", str(error)


def _model_check(backend: Backend) -> Callable[[str], str]:
    def fault_of(model: str) -> str:
        try:
            backend.platform.engines.find(model)
        except NotFound as error:
            return str(error)
        return ""

    return fault_of


def _answer(row: Row, *, is_error: bool, **told: Any) -> Answer:
    custom_id = row.value["custom_id"]
    line = encode({"id": new_id("batch_req"), "custom_id": custom_id, **told})
    return Answer(custom_id, _unbroken(line), is_error)


def _unbroken(line: bytes) -> bytes:
    """The same JSON without characters at which `str.splitlines` ends a line: clients read the file by it."""
    for end in _LINE_ENDS:
        line = line.replace(end.encode(), rb"\u%04x" % ord(end))
    return line
