"""The models and adapters that are served: random, the same every time, without an end token."""

import json
import shutil
from pathlib import Path
from typing import Any

from common import SHAPES, random_llama

from fettle.testing.models import tiny_adapter

TOKENIZER = Path(__file__).parents[2] / "pocket" / "tokenizer"
#: Different adapters of a kind on disk; more names than these share their files, but not their memory.
NUM_FOLDERS = 8
KINDS: dict[str, dict[str, Any]] = {"lora": {"rank": 16}, "ia3": {}}


def make_folders(folder: Path, shape: str) -> None:
    """Write `base`, and NUM_FOLDERS adapters of each of KINDS."""
    base = random_llama(folder / "base", shape)
    for path in TOKENIZER.iterdir():
        shutil.copyfile(path, base / path.name)
    _change(base / "tokenizer.json", lambda told: _name_all_tokens(told, SHAPES[shape]["vocab_size"]))
    # No end token: every answer has the same number of tokens, whoever makes it.
    _change(base / "config.json", lambda told: told.update(eos_token_id=None, bos_token_id=None))
    for kind, settings in KINDS.items():
        for number in range(NUM_FOLDERS):
            tiny_adapter(adapter_folder(folder, f"{kind}-{number}"), kind, base, number, **settings)


def adapter_folder(folder: Path, name: str) -> Path:
    """Where the files of an adapter `KIND-NUMBER` are."""
    kind, number = name.rsplit("-", 1)
    return folder / f"{kind}-{int(number) % NUM_FOLDERS}"


def _name_all_tokens(tokenizer: dict[str, Any], size: int) -> None:
    """Give those that the tokenizer does not know a text, so that each is something to stream."""
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {f"t{number}": number for number in range(max(vocabulary.values()) + 1, size)}


def _change(path: Path, change: Any) -> None:
    told = json.loads(path.read_text(encoding="utf-8"))
    change(told)
    path.write_text(json.dumps(told), encoding="utf-8")
