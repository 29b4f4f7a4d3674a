"""Adapters by name: those in use and the last used stay in the bank, within a bound of bytes; others are read again."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch

from fettle.adapters.adapter import Adapter
from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.files import load_adapter
from fettle.adapters.inject import sites_of
from fettle.adapters.virtual import virtual_misfits, virtual_tokens
from fettle.errors import UnsupportedModel, unknown
from fettle.models.decoder import Decoder
from fettle.models.encoder import Encoder
from fettle.models.virtual_tokens import VirtualTokens

_ABSENT = -2


class PooledAdapter:
    """A named adapter and where it is.

    Attributes:
        name: that requests use.
        folder: that it is read from.
        number: of this registration; never used twice, so that cached prefixes cannot be mixed up.
        slot: in the bank; valid while it is resident.
        virtual: what it puts before every sequence; valid while it is resident, None for nothing.
        num_virtual_tokens: how many these are.
        num_users: running sequences that need it.
        size_bytes: that it takes in memory.
    """

    __slots__ = (
        "folder",
        "is_removed",
        "name",
        "num_users",
        "num_virtual_tokens",
        "number",
        "size_bytes",
        "slot",
        "virtual",
    )

    def __init__(self, name: str, folder: Path, number: int) -> None:
        """Not in memory yet."""
        self.name, self.folder, self.number = name, folder, number
        self.virtual: VirtualTokens | None = None
        self.num_virtual_tokens = 0
        self.slot, self.num_users, self.size_bytes, self.is_removed = _ABSENT, 0, 0, False

    @property
    def is_resident(self) -> bool:
        """Whether it has a slot."""
        return self.slot != _ABSENT


@dataclass(frozen=True)
class _Loaded:
    adapter: Adapter
    virtual: VirtualTokens | None

    @property
    def size_bytes(self) -> int:
        """Memory that is taken while it is resident."""
        return self.virtual.size_bytes if self.virtual else self.adapter.size_bytes


class AdapterPool:
    """Which adapters there are and which of them are in the bank."""

    def __init__(self, bank: AdapterBank, model: Decoder | Encoder, *, max_bytes: int) -> None:
        """No adapters yet.

        Args:
            bank: that they are put into.
            model: that they are computed with, and in its number type; it looks into that bank.
            max_bytes: of resident adapters; one alone is always allowed.
        """
        self._bank, self._max_bytes = bank, max_bytes
        # A sentence encoder has no keys and values that virtual tokens could be.
        self._decoder = None if isinstance(model, Encoder) else model
        self._dtype = next(model.parameters()).dtype if isinstance(model, Encoder) else model.dtype
        self._sites = {site.name: site for site in sites_of(model)}
        self._by_name: dict[str, PooledAdapter] = {}
        # Least recently used first.
        self._resident: dict[PooledAdapter, None] = {}
        self._numbers = count(1)
        self.num_loads = 0

    @property
    def names(self) -> list[str]:
        """Of all adapters that requests may use."""
        return sorted(self._by_name)

    @property
    def resident_bytes(self) -> int:
        """Taken by adapters in memory."""
        return sum(adapter.size_bytes for adapter in self._resident)

    @property
    def num_resident(self) -> int:
        """Adapters in memory."""
        return len(self._resident)

    @property
    def num_in_use(self) -> int:
        """Adapters that running sequences keep in memory."""
        return sum(1 for adapter in self._resident if adapter.num_users)

    def add(self, name: str, folder: Path) -> None:
        """Read an adapter and know it by `name`; one of the same name is replaced.

        Raises:
            UnsupportedModel: it cannot be read or does not fit the model; the old one then stays.
        """
        loaded = self._load(folder)
        if name in self._by_name:
            self.remove(name)
        adapter = self._by_name[name] = PooledAdapter(name, folder, next(self._numbers))
        adapter.size_bytes, adapter.num_virtual_tokens = loaded.size_bytes, loaded.adapter.num_virtual_tokens
        if self._make_room(loaded.size_bytes):
            self._settle(adapter, loaded)

    def get(self, name: str) -> PooledAdapter:
        """The adapter of this name.

        Raises:
            NotFound: there is none.
        """
        if name not in self._by_name:
            raise unknown("adapter", name, self._by_name, param="model")
        return self._by_name[name]

    def remove(self, name: str) -> None:
        """Forget an adapter; sequences that use it go on to their end.

        Raises:
            NotFound: there is none of this name.
        """
        adapter = self.get(name)
        del self._by_name[name]
        adapter.is_removed = True
        if not adapter.num_users:
            self._evict(adapter)

    def pin(self, adapter: PooledAdapter) -> bool:
        """Make an adapter resident and keep it so until `unpin`; False if those in use leave no room.

        Raises:
            UnsupportedModel: it was evicted, and its files cannot be read any more.
        """
        if not adapter.is_resident:
            # Asked before it is read: who waits for room is asked in every step.
            if not self._make_room(adapter.size_bytes):
                return False
            self._settle(adapter, self._load(adapter.folder))
        del self._resident[adapter]
        self._resident[adapter] = None
        adapter.num_users += 1
        return True

    def unpin(self, adapter: PooledAdapter) -> None:
        """One user less."""
        adapter.num_users -= 1
        if adapter.is_removed and not adapter.num_users:
            self._evict(adapter)

    def _make_room(self, size_bytes: int) -> bool:
        """Evict until there is room; nobody, if those in use alone leave too little."""
        in_use = sum(adapter.size_bytes for adapter in self._resident if adapter.num_users)
        if in_use and in_use + size_bytes > self._max_bytes:
            return False
        for adapter in [one for one in self._resident if not one.num_users]:
            if self.resident_bytes + size_bytes <= self._max_bytes:
                break
            self._evict(adapter)
        return True

    def _settle(self, adapter: PooledAdapter, loaded: _Loaded) -> None:
        # Behind virtual tokens, all is computed as the base does.
        adapter.slot = self._bank.add(loaded.adapter) if loaded.virtual is None else BASE
        adapter.virtual = loaded.virtual
        self._resident[adapter] = None

    def _evict(self, adapter: PooledAdapter) -> None:
        if adapter.is_resident:
            if adapter.slot != BASE:
                self._bank.remove(adapter.slot)
            del self._resident[adapter]
            adapter.slot, adapter.virtual = _ABSENT, None

    @torch.no_grad()
    def _load(self, folder: Path) -> _Loaded:
        adapter = load_adapter(folder)
        if faults := list(self._misfits(adapter)):
            listed = "\n".join(f"  {fault}" for fault in faults[:10])
            raise UnsupportedModel(f"the adapter in {folder} does not fit this model:\n{listed}")
        self.num_loads += 1
        adapter = adapter.to(self._dtype)
        return _Loaded(adapter, virtual_tokens(adapter, self._decoder) if self._decoder else None)

    def _misfits(self, adapter: Adapter) -> Iterable[str]:
        if self._decoder:
            yield from virtual_misfits(adapter, self._decoder.config)
        elif adapter.virtual:
            yield "virtual tokens: a sentence encoder takes none"
        for name, params in adapter.sites.items():
            if name not in self._sites:
                yield f"{name}: no such linear layer"
                continue
            wanted = {p: start.shape for p, start in adapter.maths.starts(self._sites[name], adapter.config).items()}
            found = {p: tuple(value.shape) for p, value in params.items()}
            if wanted != found:
                yield f"{name}: shapes {found}, the model needs {wanted}"
