"""Adapter kinds: the maths, one file per kind, listed here."""

from typing import Any

from fettle.adapters.kinds.base import AdapterKind
from fettle.adapters.kinds.bottleneck import Bottleneck
from fettle.adapters.kinds.ia3 import IA3
from fettle.adapters.kinds.lora import LoRA
from fettle.plugins import Table, by_name

_ALL: list[AdapterKind[Any]] = [LoRA(), IA3(), Bottleneck()]
KINDS: Table[AdapterKind[Any]] = Table("adapter kind", "kinds", by_name(_ALL))
