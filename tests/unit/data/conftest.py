"""Tiny tokenizers and files of rows."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fettle.data.template import Template
from fettle.models.tokenizer import Tokenizer
from fettle.testing.tokenizers import tiny_tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory) -> Tokenizer:
    return Tokenizer.load(tiny_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="session")
def plain_tokenizer(tmp_path_factory) -> Tokenizer:
    return Tokenizer.load(tiny_tokenizer(tmp_path_factory.mktemp("plain"), chat_template=None))


@pytest.fixture(scope="session")
def template(tokenizer) -> Template:
    return Template(tokenizer)


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Writes rows (or lines, or bytes) to a file."""

    def write(*rows: object, name: str = "rows.jsonl") -> Path:
        lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
        path = tmp_path / name
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write
