"""What every benchmark shares: the shapes of its models, and the result file."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from fettle.testing.models import tiny_model

LIBRARIES = ("fettle-ai", "torch", "transformers", "peft", "accelerate", "trl")
SHAPES: dict[str, dict[str, int]] = {
    "m8": {
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 8192,
    },
    "m110": {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 12,
        "vocab_size": 32000,
    },
}


def random_llama(folder: Path, shape: str) -> Path:
    """Write a random Llama of this shape, the same every time, and return its folder."""
    return tiny_model(folder, max_position_embeddings=2048, **SHAPES[shape])


def write_result(folder: Path, name: str, measured: dict[str, Any]) -> Path:
    """Write what was measured, with how, on what and of which commit, to a new file, and say where."""
    moment = datetime.now(UTC)
    result = {
        "command": " ".join(["python", *sys.argv]),
        "commit": _git("rev-parse", "HEAD"),
        "has_uncommitted_changes": bool(_git("status", "--porcelain", "--", "src", "benchmarks/**/*.py")),
        "time": moment.isoformat(timespec="seconds"),
        "versions": _versions() | {"python": platform.python_version()},
        "machine": machine(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{moment:%Y%m%dT%H%M%S}-{name}.json"
    path.write_text(json.dumps(result | measured, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {path}")
    return path


def machine() -> dict[str, Any]:
    """What the benchmark runs on."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "system": platform.platform(),
        "torch_cpu": torch.backends.cpu.get_cpu_capability(),
    }


def cell(value: float | None, form: str) -> str:
    """A number of a table, or a dash."""
    return "-" if value is None else format(value, form)


def _versions() -> dict[str, str]:
    """Of the libraries that are installed."""
    installed = {distribution.name: distribution.version for distribution in distributions()}
    return {library: installed[library] for library in LIBRARIES if library in installed}


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _git(*arguments: str) -> str:
    root = Path(__file__).parents[1]
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()
