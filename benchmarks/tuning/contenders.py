"""All contenders by name. Each trains in a process of its own.

python contenders.py job.json      prints what it measured as one line of JSON
"""

import json
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from meter import Job, Meter, peak_mb

#: Module and class: who is measured does not import the others.
CONTENDERS = {
    "fettle": ("ours", "Fettle"),
    "above-trunk": ("ours", "AboveTrunk"),
    "choices": ("ours", "Choices"),
    "choices-repeated": ("ours", "ChoicesRepeated"),
    "joint": ("jobs", "Joint"),
    "in-sequence": ("jobs", "InSequence"),
    "sweep": ("jobs", "JointWorker"),
    "workers": ("jobs", "Workers"),
    "trainer": ("peers", "Trainer"),
    "trl": ("peers", "TRL"),
}


def measure(job: Job) -> dict[str, Any]:
    """Load, train, and say how it went."""
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    contender, meter = _contender(job.contender)(job), Meter()
    loaded = peak_mb()
    loss = contender.train(meter)
    told = {"loss": loss, "losses": meter.losses, "loaded_mb": loaded, "peak_mb": peak_mb()}
    return told | {"warmup": contender.warmup, "steps": meter.steps}


def _contender(name: str) -> Callable[[Job], Any]:
    module, of = CONTENDERS[name]
    contender: Callable[[Job], Any] = getattr(import_module(module), of)
    return contender


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(measure(Job(**json.loads(Path(sys.argv[1]).read_text())))))
