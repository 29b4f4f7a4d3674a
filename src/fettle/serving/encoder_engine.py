"""The engine of a sentence encoder: texts in, vectors and classes out, for all its tuned versions in one batch."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.files import CONFIG
from fettle.adapters.inject import inject
from fettle.errors import FettleError, InvalidInput, UnsupportedModel, unknown
from fettle.models.encoder import Encoder, embeddings
from fettle.models.encoder_files import load_encoder
from fettle.models.head import Head, load_head
from fettle.serving.adapter_pool import AdapterPool, PooledAdapter
from fettle.serving.settings import EngineSettings
from fettle.types.encoding import Encoded, EncodeRequest

#: Tokens that are computed at once.
MAX_BATCH_TOKENS = 4096


@dataclass(frozen=True, eq=False)
class Version:
    """The encoder itself or a tuned version of it.

    Attributes:
        head: None if it has no classes.
        adapter: None if its encoder is the base.
    """

    head: Head | None
    adapter: PooledAdapter | None = None

    @property
    def slot(self) -> int:
        """Of its adapter in the bank; valid while that is resident."""
        return self.adapter.slot if self.adapter else BASE


@dataclass
class Request:
    """A request on its way: its texts as tokens, and what became of the first of them."""

    id: str
    task: str
    version: Version
    texts: Sequence[Sequence[int]]
    values: list[bytes] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether every text has its values."""
        return len(self.values) == len(self.texts)

    def answer(self) -> Encoded:
        """What is told of a request that is done."""
        labels = self.version.head.labels if self.task == "classify" and self.version.head else ()
        return Encoded(values=tuple(self.values), labels=labels, prompt_tokens=sum(map(len, self.texts)))


@dataclass
class Batch:
    """What a step computes.

    Attributes:
        texts: each with its request.
        versions: whose adapters are kept in memory for it.
        failed: requests whose adapter cannot be had any more, and why.
    """

    texts: list[tuple[Request, Sequence[int]]] = field(default_factory=list)
    versions: dict[Version, None] = field(default_factory=dict)
    failed: dict[str, FettleError] = field(default_factory=dict)


class EncoderEngine:
    """One encoder with its tuned versions; synchronous."""

    def __init__(self, encoder: Encoder, head: Head | None = None, settings: EngineSettings | None = None) -> None:
        """An engine without tuned versions; `head` is that of an encoder whose weights were tuned."""
        self._encoder, self._bank = encoder, AdapterBank()
        inject(encoder, self._bank)
        max_bytes = (settings or EngineSettings()).adapter_bytes
        self._adapters = AdapterPool(self._bank, encoder, max_bytes=max_bytes)
        self._versions: dict[str | None, Version] = {None: Version(head)}
        self._waiting: deque[Request] = deque()
        self._num_texts = self._num_tokens = 0

    @classmethod
    def load(cls, folder: Path, settings: EngineSettings | None = None) -> Self:
        """The engine of the model in a folder.

        Raises:
            UnsupportedModel: its files cannot be loaded.
        """
        encoder = load_encoder(folder)
        return cls(encoder, load_head(folder, encoder.config.hidden_size), settings)

    @property
    def context(self) -> int:
        """Tokens that a text may have."""
        return self._encoder.config.max_positions

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""
        return bool(self._waiting)

    def add_adapter(self, name: str, folder: Path) -> None:
        """Read a tuned version: a head, and mostly an adapter; one of the same name is replaced.

        Raises:
            UnsupportedModel: it cannot be read, or does not fit the encoder; the old one then stays.
        """
        if (folder / "config.json").exists():
            fault = f"{folder} holds a whole encoder, not an adapter or a head for this one"
            raise UnsupportedModel(fault, hint="Serve it as a model of its own.")
        head, has_adapter = load_head(folder, self._encoder.config.hidden_size), (folder / CONFIG).exists()
        if has_adapter:
            self._adapters.add(name, folder)
        elif name in self._versions:
            self.remove_adapter(name)
        self._versions[name] = Version(head, self._adapters.get(name) if has_adapter else None)

    def remove_adapter(self, name: str) -> None:
        """Forget a tuned version; requests that use it go on to their end.

        Raises:
            NotFound: there is none of this name.
        """
        if self._version(name).adapter:
            self._adapters.remove(name)
        del self._versions[name]

    def add(self, request_id: str, request: EncodeRequest, texts: Sequence[Sequence[int]], adapter: str | None) -> None:
        """Queue a request, its texts as tokens.

        Raises:
            NotFound: there is no such version.
            InvalidInput: it has no classes, or a text is too long; all of those are named.
        """
        version = self._version(adapter)
        if request.task == "classify" and not version.head:
            raise InvalidInput(
                f"{request.model!r} has no classes",
                hint="Tune it on rows of `text` and `label` first, and name what comes of it.",
                param="model",
            )
        if long := [(place, len(text)) for place, text in enumerate(texts) if len(text) > self.context]:
            told = ", ".join(f"input {place} has {size:,} tokens" for place, size in long[:10])
            raise InvalidInput(f"{told}; at most {self.context} are read", hint="Shorten it.", param="input")
        self._waiting.append(Request(request_id, request.task, version, texts))

    def abort(self, request_id: str) -> None:
        """Forget a request."""
        self._waiting = deque(request for request in self._waiting if request.id != request_id)

    @torch.inference_mode()
    def step(self) -> list[tuple[str, Encoded | FettleError]]:
        """Compute the next texts of those who wait, first come first served; the requests that end with it, and how."""
        with self._batch() as batch:
            if batch.texts:
                self._compute(batch.texts)
        done = {request.id: request.answer() for request in self._waiting if request.is_done}
        ended: dict[str, Encoded | FettleError] = {**batch.failed, **done}
        self._waiting = deque(request for request in self._waiting if request.id not in ended)
        return list(ended.items())

    def stats(self) -> dict[str, Any]:
        """Counters by name."""
        return {
            "waiting": len(self._waiting),
            "texts": self._num_texts,
            "tokens": self._num_tokens,
            "adapters": len(self._versions) - 1,
            "adapters_resident": self._adapters.num_resident,
            "adapter_bytes": self._adapters.resident_bytes,
        }

    def _version(self, name: str | None) -> Version:
        if name not in self._versions:
            raise unknown("adapter", str(name), [known for known in self._versions if known], param="model")
        return self._versions[name]

    @contextmanager
    def _batch(self) -> Iterator[Batch]:
        """What is computed next; inside the block its versions' adapters stay in memory."""
        batch = Batch()
        try:
            self._fill(batch)
            yield batch
        finally:
            for version in batch.versions:
                if version.adapter:
                    self._adapters.unpin(version.adapter)

    def _fill(self, batch: Batch) -> None:
        """Texts that fit into a step, at least one; those of a request stay in their order."""
        room = MAX_BATCH_TOKENS
        for request in self._waiting:
            try:
                if not self._hold(request.version, batch):
                    return
            except FettleError as error:
                batch.failed[request.id] = error
                continue
            for ids in request.texts[len(request.values) :]:
                if batch.texts and len(ids) > room:
                    return
                batch.texts.append((request, ids))
                room -= len(ids)

    def _hold(self, version: Version, batch: Batch) -> bool:
        """Have a version's adapter in memory; False if those of the batch leave no room for it."""
        if version not in batch.versions and version.adapter and not self._adapters.pin(version.adapter):
            return False
        batch.versions[version] = None
        return True

    def _compute(self, batch: Sequence[tuple[Request, Sequence[int]]]) -> None:
        tokens = torch.tensor([token for _, ids in batch for token in ids])
        with self._bank.route([(request.version.slot, len(ids)) for request, ids in batch]):
            pooled_NC = self._encoder.pooled(tokens, [len(ids) for _, ids in batch])
        for (request, _), values in zip(batch, self._answers(batch, pooled_NC), strict=True):
            request.values.append(values)
        self._num_texts += len(batch)
        self._num_tokens += len(tokens)

    def _answers(self, batch: Sequence[tuple[Request, Sequence[int]]], pooled_NC: Tensor) -> list[bytes]:
        """Each text's values: those of one head and task are computed together."""
        places: dict[tuple[str, Head | None], list[int]] = {}
        for place, (request, _) in enumerate(batch):
            head = request.version.head if request.task == "classify" else None
            places.setdefault((request.task, head), []).append(place)
        found: dict[int, bytes] = {}
        for (_, head), group in places.items():
            chosen = pooled_NC[group]
            values = head(chosen).softmax(-1) if head else embeddings(chosen)
            found |= {place: row.numpy().astype("<f4").tobytes() for place, row in zip(group, values, strict=True)}
        return [found[place] for place in range(len(batch))]
