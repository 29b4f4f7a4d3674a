"""The engine of a sentence encoder: texts in, vectors and classes out, for all its tuned versions in one batch."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from fettle.adapters.adapter import Adapter
from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.files import CONFIG, load_adapter
from fettle.adapters.inject import inject
from fettle.errors import InvalidInput, UnsupportedModel, unknown
from fettle.models.encoder import Encoder, embeddings
from fettle.models.encoder_files import load_encoder
from fettle.models.head import Head, load_head
from fettle.types.encoding import Encoded, EncodeRequest

#: Tokens that are computed at once.
MAX_BATCH_TOKENS = 4096


@dataclass(frozen=True, eq=False)
class Version:
    """The encoder itself or a tuned version of it.

    Attributes:
        head: None if it has no classes.
        slot: of its adapter in the bank; the base's if its encoder is that.
    """

    head: Head | None
    slot: int = BASE


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


class EncoderEngine:
    """One encoder with its tuned versions; synchronous."""

    def __init__(self, encoder: Encoder, head: Head | None = None) -> None:
        """An engine without tuned versions; `head` is that of an encoder whose weights were tuned."""
        self._encoder, self._bank = encoder, AdapterBank()
        self._sites = {site.name: site for site in inject(encoder, self._bank)}
        self._versions: dict[str | None, Version] = {None: Version(head)}
        self._leaving: list[Version] = []
        self._waiting: deque[Request] = deque()
        self._num_texts = self._num_tokens = 0

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The engine of the model in a folder.

        Raises:
            UnsupportedModel: its files cannot be loaded.
        """
        encoder = load_encoder(folder)
        return cls(encoder, load_head(folder, encoder.config.hidden_size))

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
        head = load_head(folder, self._encoder.config.hidden_size)
        adapter = self._fitting(folder) if (folder / CONFIG).exists() else None
        if name in self._versions:
            self.remove_adapter(name)
        self._versions[name] = Version(head, self._bank.add(adapter) if adapter else BASE)

    def remove_adapter(self, name: str) -> None:
        """Forget a tuned version; requests that use it go on to their end.

        Raises:
            NotFound: there is none of this name.
        """
        self._leaving.append(self._version(name))
        del self._versions[name]
        self._free()

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
    def step(self) -> list[tuple[str, Encoded]]:
        """Compute the next texts of those who wait, first come first served; the requests that are done with it."""
        self._compute(self._next())
        done = [request for request in self._waiting if request.is_done]
        self._waiting = deque(request for request in self._waiting if not request.is_done)
        self._free()
        return [(request.id, request.answer()) for request in done]

    def stats(self) -> dict[str, Any]:
        """Counters by name."""
        return {
            "waiting": len(self._waiting),
            "texts": self._num_texts,
            "tokens": self._num_tokens,
            "adapters": len(self._versions) - 1,
        }

    def _version(self, name: str | None) -> Version:
        if name not in self._versions:
            raise unknown("adapter", str(name), [known for known in self._versions if known], param="model")
        return self._versions[name]

    def _next(self) -> list[tuple[Request, Sequence[int]]]:
        """Texts that fit into a step, at least one; those of a request stay in their order."""
        batch: list[tuple[Request, Sequence[int]]] = []
        room = MAX_BATCH_TOKENS
        for request in self._waiting:
            for ids in request.texts[len(request.values) :]:
                if batch and len(ids) > room:
                    return batch
                batch.append((request, ids))
                room -= len(ids)
        return batch

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

    def _fitting(self, folder: Path) -> Adapter:
        adapter, faults = load_adapter(folder), []
        for name, params in adapter.sites.items():
            site = self._sites.get(name)
            starts = adapter.maths.starts(site, adapter.config) if site else {}
            if {n: start.shape for n, start in starts.items()} != {n: tuple(v.shape) for n, v in params.items()}:
                faults.append(name)
        if faults or not adapter.sites:
            told = ", ".join(faults[:10]) or "it has no layer of an encoder"
            raise UnsupportedModel(f"the adapter in {folder} does not fit this model: {told}")
        return adapter.to(torch.float32)

    def _free(self) -> None:
        """Give up the slots of versions that have gone and that nobody waits for."""
        used = {id(request.version) for request in self._waiting}
        for version in [one for one in self._leaving if id(one) not in used]:
            self._leaving.remove(version)
            if version.slot != BASE:
                self._bank.remove(version.slot)
