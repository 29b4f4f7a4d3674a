"""Forms with a file (multipart/form-data), read as they come: the file goes to the disk, not into memory."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from fettle.api.middleware import parts_of
from fettle.errors import InvalidInput

FILE_FIELD = "file"
#: How OpenAPI describes the part with the file.
FILE_PART = {"type": "string", "format": "binary"}
MAX_FIELDS_BYTES = 64 * 1024


def form_document(**properties: dict[str, Any]) -> dict[str, Any]:
    """How a route that takes a form with these parts is described in OpenAPI."""
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


class Form:
    """A form that is being read.

    Attributes:
        fields: what its parts that are no file hold.
        filename: what the client calls the file; None when there was none.
    """

    def __init__(self, boundary: bytes, file: BinaryIO, file_field: str) -> None:
        """A form whose parts are told apart by `boundary`; what is in its part `file_field` goes into `file`."""
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._file, self._file_field, self._num_bytes, self._is_whole = file, file_field, 0, False
        self._header: tuple[bytes, bytes] = b"", b""
        self._disposition, self._name, self._content = b"", "", b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._read_header_name,
                "on_header_value": self._read_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._read,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def feed(self, part: bytes) -> None:
        """Take the next bytes.

        Raises:
            InvalidInput: they are no part of a form, or fields are too long, or there is a second file.
        """
        try:
            self._parser.write(part)
        except FormParserError as error:
            raise InvalidInput(f"the form cannot be read: {error}", hint=_expected(self._file_field)) from error

    def check_is_whole(self) -> None:
        """See that nothing is missing.

        Raises:
            InvalidInput: the form ended too early, or has no file.
        """
        if not self._is_whole:
            raise InvalidInput("the form ended before its end", hint=_expected(self._file_field))
        if self.filename is None:
            raise InvalidInput("the form has no file", hint=_expected(self._file_field), param=self._file_field)

    @property
    def _is_file(self) -> bool:
        return self._name == self._file_field

    def _begin(self) -> None:
        self._disposition, self._name, self._content = b"", "", b""

    def _read_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0] + data[start:end], b""

    def _read_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0], self._header[1] + data[start:end]

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = b"", b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        self._name = options.get(b"name", b"").decode(errors="replace")
        if self._is_file and self.filename is not None:
            raise InvalidInput("the form has two files; one was expected", param=self._file_field)
        if self._is_file:
            self.filename = options.get(b"filename", b"").decode(errors="replace") or self._file_field

    def _read(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._file.write(data[start:end])
            return
        self._num_bytes += end - start
        if self._num_bytes > MAX_FIELDS_BYTES:
            raise InvalidInput(
                f"the form's fields hold more than {MAX_FIELDS_BYTES} bytes", hint=_expected(self._file_field)
            )
        self._content += data[start:end]

    def _end(self) -> None:
        if not self._is_file:
            self.fields[self._name] = self._content.decode(errors="replace")

    def _finish(self) -> None:
        self._is_whole = True


async def read_form(request: Request, path: Path, max_bytes: int, file_field: str = FILE_FIELD) -> Form:
    """The form in a request, its file (the part `file_field`) written to `path`.

    Raises:
        TooLarge: it is longer than `max_bytes`; the rest is not read.
        InvalidInput: it is no form, or has no file.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidInput(f"the body is {kind.decode() or 'of no type'}, not a form", hint=_expected(file_field))
    file = await asyncio.to_thread(path.open, "wb")
    try:
        form = _begun(lambda: Form(boundary, file, file_field), file_field)
        async for part in parts_of(request, max_bytes, "Split the file, or compress it with gzip or zstd."):
            # In a thread: a slow disk must not hold up the answers of others.
            await asyncio.to_thread(form.feed, part)
    finally:
        await asyncio.to_thread(file.close)
    form.check_is_whole()
    return form


def _expected(file_field: str) -> str:
    return f"Send multipart/form-data with the file in the part `{file_field}`."


def _begun(begin: Callable[[], Form], file_field: str) -> Form:
    try:
        return begin()
    except FormParserError as error:
        raise InvalidInput(f"the form cannot be read: {error}", hint=_expected(file_field)) from error
