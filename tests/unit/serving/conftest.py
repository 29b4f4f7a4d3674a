"""A tiny model with adapters of different kinds and ranks, and engines for it with little room."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fettle.adapters.adapter import Adapter
from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.files import load_adapter
from fettle.adapters.inject import inject
from fettle.adapters.virtual import virtual_tokens
from fettle.data.packing import pack
from fettle.data.template import Encoded
from fettle.models.loading import load_decoder
from fettle.serving import Engine, EngineSettings
from fettle.testing.models import tiny_adapter, tiny_model
from fettle.tuning.forward import hidden
from fettle.types.generation import GenerateChunk, GenerateRequest, SamplingParams

ROOM = {"dtype": "float32", "block_size": 4, "num_blocks": 64, "max_batch_tokens": 16, "max_sequences": 8}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads that wait for each other cost more than such small models take, most of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def adapters(base, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {
        "wide": tiny_adapter(folder / "wide", "lora", base, 1, rank=5),
        "narrow": tiny_adapter(folder / "narrow", "lora", base, 2, rank=2, target_modules=("q_proj", "up_proj")),
        "vectors": tiny_adapter(folder / "vectors", "ia3", base, 3),
        "prompt": tiny_adapter(folder / "prompt", "prompt", base, 4, num_virtual_tokens=5),
        "prefix": tiny_adapter(folder / "prefix", "prefix", base, 5, num_virtual_tokens=9),
    }


@pytest.fixture
def engine_with(base, adapters) -> Callable[..., Engine]:
    def make(folder: Path = base, **settings: Any) -> Engine:
        engine = Engine.load(folder, EngineSettings(**(ROOM | settings)))
        for name, place in adapters.items() if folder == base else ():
            engine.add_adapter(name, place)
        return engine

    return make


@pytest.fixture
def engine(engine_with) -> Engine:
    return engine_with()


class Plain:
    """The model without engine or cache: everything is computed anew for every token."""

    def __init__(self, folder: Path, adapter: Adapter | None = None) -> None:
        self._decoder, self._bank = load_decoder(folder), AdapterBank()
        inject(self._decoder, self._bank)
        self._slot = BASE if adapter is None else self._bank.add(adapter.to(torch.float32))
        self._virtual = None if adapter is None else virtual_tokens(adapter.to(torch.float32), self._decoder)

    @torch.inference_mode()
    def logits(self, tokens: list[int]) -> torch.Tensor:
        row = pack([Encoded(tokens, [True] * len(tokens))])
        with self._bank.route([(self._slot, len(tokens))]):
            return self._decoder.head(hidden(self._decoder, row, self._virtual)[: len(tokens)])

    def greedy(self, prompt: list[int], count: int) -> list[int]:
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(int(self.logits(tokens)[-1].argmax()))
        return tokens[len(prompt) :]


@pytest.fixture(scope="session")
def plain(base, adapters) -> Callable[[str | None], Plain]:
    made = {name: Plain(base, load_adapter(folder)) for name, folder in adapters.items()}
    made_too: dict[str | None, Plain] = {None: Plain(base), **made}
    return made_too.__getitem__


def ask(prompt: list[int], **sampling: Any) -> GenerateRequest:
    """A greedy request for 12 tokens that no end token cuts short, unless said otherwise."""
    wanted = {"temperature": 0, "max_tokens": 12, "ignore_eos": True} | sampling
    return GenerateRequest(model="any", token_ids=tuple(prompt), sampling=SamplingParams(**wanted))


def run(engine: Engine) -> dict[tuple[str, int], list[GenerateChunk]]:
    """Step until there is no work; the chunks of every choice."""
    chunks: dict[tuple[str, int], list[GenerateChunk]] = {}
    while engine.has_work:
        for chunk in engine.step():
            chunks.setdefault((chunk.request_id, chunk.index), []).append(chunk)
    return chunks


def tokens(chunks: list[GenerateChunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


def text(chunks: list[GenerateChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def answer(engine: Engine, request: GenerateRequest, adapter: str | None = None) -> list[GenerateChunk]:
    engine.add("one", request, adapter=adapter)
    return run(engine)["one", 0]
