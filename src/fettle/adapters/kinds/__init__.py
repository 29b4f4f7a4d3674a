"""Adapter kinds: the maths, one file per kind, listed here."""

from typing import Any, TypeAlias

from fettle.adapters.kinds.base import AdapterKind
from fettle.adapters.kinds.bottleneck import Bottleneck
from fettle.adapters.kinds.ia3 import IA3
from fettle.adapters.kinds.lora import LoRA
from fettle.adapters.kinds.prefix import Prefix
from fettle.adapters.kinds.prompt import Prompt
from fettle.adapters.kinds.virtual import VirtualKind
from fettle.plugins import Table, by_name

#: Formulas at linear layers, or positions before every sequence.
Kind: TypeAlias = AdapterKind[Any] | VirtualKind[Any]

_ALL: list[Kind] = [LoRA(), IA3(), Bottleneck(), Prompt(), Prefix()]
KINDS: Table[Kind] = Table("adapter kind", "kinds", by_name(_ALL))
