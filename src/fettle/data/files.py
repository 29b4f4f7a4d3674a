"""Rows from JSONL files, plain or compressed, one at a time; every fault with its line."""

import json
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from fettle.errors import FettleError, InvalidInput, InvalidRows, NotFound, StorageFailed

CHUNK_SIZE = 1 << 16
# Four bytes of zstd can stand for 128 KiB: small bites keep memory flat.
COMPRESSED_CHUNK_SIZE = 1 << 7
MAX_LINE_SIZE = 64 << 20
UTF8_BOM = b"\xef\xbb\xbf"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
OTHER_FORMATS = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a ZIP archive (or an Excel file)",
    b"%PDF": "a PDF",
    b"SQLite format 3": "a SQLite database",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


class Row(NamedTuple):
    """A line that is valid JSON."""

    line: int
    value: Any


class Fault(NamedTuple):
    """What is wrong with a line; line 0 is the whole file."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


def read_rows(path: Path | str) -> Iterator[tuple[int, Any]]:
    """Line numbers (from 1) and values of a JSONL file; blank lines are skipped.

    Plain, gzip or zstd is seen by content, not by name.

    Raises:
        InvalidRows: at the first line that is not JSON. `scan_rows` goes on instead.
        InvalidInput, NotFound, StorageFailed: as `scan_rows`.
    """
    for item in scan_rows(path):
        if isinstance(item, Fault):
            raise InvalidRows(
                f"{Path(path).name} cannot be read",
                faults=[str(item)],
                hint=f"`fettle data check {path}` lists all faults.",
            )
        yield item.line, item.value


def scan_rows(path: Path | str) -> Iterator[Row | Fault]:
    """Every line of a JSONL file that is not blank: its value, or what is wrong with it.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is a folder, is empty, or does not hold text.
        StorageFailed: it cannot be read.
    """
    path = Path(path)
    check_is_file(path)
    number, is_blank = 0, True
    try:
        for number, line in enumerate(_lines(_text_chunks(path)), start=1):
            if line and not line.isspace():
                is_blank = False
                yield _parsed(number, line)
    except OSError as error:
        raise StorageFailed(f"{path} cannot be read: {error.strerror or error}") from error
    except _BrokenOff as error:
        yield Fault(number + 1, str(error))
        is_blank = False
    if is_blank:
        raise _empty(path)


class _BrokenOff(Exception):
    """The rest of the file cannot be read."""


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def check_is_file(path: Path) -> None:
    """Refuse a path at which no file is, before anything is begun.

    Raises:
        NotFound: there is no such file; with the nearest name.
        InvalidInput: it is a folder.
    """
    try:
        is_folder, is_there = path.is_dir(), path.exists()
        siblings = [] if is_there or not path.parent.is_dir() else [file.name for file in path.parent.iterdir()]
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{str(path)!r} is not a path that can be read: {error}") from error
    if is_folder:
        raise InvalidInput(f"{path} is a folder", hint="Name a JSONL file in it.")
    if not is_there:
        near = get_close_matches(path.name, siblings, n=1)
        raise NotFound(f"there is no file {path}", hint=f"Did you mean {near[0]!r}?" if near else "")


def _empty(path: Path) -> FettleError:
    return InvalidInput(f"{path} is empty", hint="It must hold one JSON object per line.")


def _text_chunks(path: Path) -> Iterator[bytes]:
    """The file's content, decompressed and without a byte order mark.

    Raises:
        InvalidInput: it is not text.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        is_packed = magic.startswith((GZIP, ZSTD))
        size = COMPRESSED_CHUNK_SIZE if is_packed else CHUNK_SIZE
        raw = iter(lambda: file.read(size), b"")
        chunks = _inflated(raw, is_gzip=magic.startswith(GZIP)) if is_packed else raw
        head = b""
        for chunk in chunks:
            head += chunk
            if len(head) >= 4096:
                break
        _check_is_text(path, head)
        yield head.removeprefix(UTF8_BOM)
        yield from chunks


def _inflated(chunks: Iterator[bytes], *, is_gzip: bool) -> Iterator[bytes]:
    """Decompressed bytes of one or more gzip or zstd streams laid end to end."""
    name = "gzip" if is_gzip else "zstd"
    inflater: _Inflater | None = None
    for chunk in chunks:
        data = chunk
        while data:
            if inflater is None and not data.strip(b"\0"):
                break  # padding behind the last stream
            inflater = inflater or _new_inflater(is_gzip=is_gzip)
            try:
                yield inflater.decompress(data)
            except Exception as error:
                if not _is_bad_data(error):
                    raise
                raise _BrokenOff(f"the {name} data is damaged from here on; copy or download the file again") from error
            data, inflater = (inflater.unused_data, None) if inflater.eof else (b"", inflater)
    if inflater is not None:
        raise _BrokenOff(f"the file is cut off: its {name} data has no end; copy or download it again")


def _new_inflater(*, is_gzip: bool) -> _Inflater:
    if is_gzip:
        return zlib.decompressobj(wbits=31)
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()


def _is_bad_data(error: Exception) -> bool:
    return isinstance(error, zlib.error) or type(error).__name__ == "ZstdError"


def _check_is_text(path: Path, head: bytes) -> None:
    hint = "Fettle reads JSONL: UTF-8 text with one JSON object per line, plain, gzip or zstd."
    for magic, name in OTHER_FORMATS.items():
        if head.startswith(magic):
            raise InvalidInput(f"{path} is {name}", hint=hint)
    if b"\0" in head:
        raise InvalidInput(f"{path} is a binary file", hint=hint)
    text = head.removeprefix(UTF8_BOM).lstrip()
    if not text:
        raise _empty(path)
    if text.startswith(b"["):
        raise InvalidInput(
            f"{path} holds a JSON list, not JSONL",
            hint=f"One object per line is needed: jq -c '.[]' {path.name} > rows.jsonl",
        )


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Split at line feeds only: other line separators may stand inside a JSON string."""
    rest: list[bytes] = []
    size = 0
    for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*rest, line])
            rest, size = [], 0
        rest.append(last)
        size += len(last)
        if size > MAX_LINE_SIZE:
            raise _BrokenOff(f"the line is longer than {MAX_LINE_SIZE >> 20} MB; is this JSONL?")
    if size:
        yield b"".join(rest)


def _parsed(number: int, line: bytes) -> Row | Fault:
    try:
        return Row(number, msgspec.json.decode(line))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return Fault(number, _why_not_json(line, error))


def _why_not_json(line: bytes, error: Exception) -> str:
    """The sentence for a line that is not JSON: where it stops being JSON, and what stands there."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    try:
        text = line.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError as fault:
        return f"is not UTF-8: byte 0x{line[fault.start]:02x} at byte {fault.start + 1}; save the file as UTF-8"
    try:
        json.loads(text)
    except json.JSONDecodeError as fault:
        return _told(text, fault)
    except (RecursionError, ValueError):
        pass
    return f"is not valid JSON: {error}"


def _told(text: str, fault: json.JSONDecodeError) -> str:
    found = text[fault.pos : fault.pos + 20]
    if not found.strip():
        hint = "; the object must stand on one line" if text.strip() in ("{", "[") else ""
        return f"is not valid JSON: {fault.msg.lower()} at column {fault.colno}, found the end of the line{hint}"
    more = "..." if len(text) > fault.pos + 20 else ""
    return f"is not valid JSON: {fault.msg.lower()} at column {fault.colno}, found {found + more!r}"
