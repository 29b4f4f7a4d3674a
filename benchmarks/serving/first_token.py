"""How much later the first token comes of an adapter that was never used: in memory, and when it is read from disk.

Requests come one at a time; those for the base are in turn with the others.
"""

import json
import os
import random
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import SHAPES
from folders import adapter_folder

from fettle.serving import Engine, EngineSettings
from fettle.types.generation import GenerateRequest, SamplingParams

KIND = "lora"
#: Room for none but the adapter that is used: all others are read again.
NO_ROOM, ROOM = 1, 1 << 30


def measured(asked: dict[str, Any]) -> dict[str, float]:
    """Medians, in milliseconds."""
    torch.set_num_threads(asked["threads"])
    memory, disk = (_first_tokens(asked, room) for room in (ROOM, NO_ROOM))
    return {
        "base_milliseconds": memory["base"],
        "resident_milliseconds": memory["adapter"],
        "resident_more_milliseconds": memory["adapter"] - memory["base"],
        "disk_milliseconds": disk["adapter"],
        "disk_more_milliseconds": disk["adapter"] - disk["base"],
    }


def _first_tokens(asked: dict[str, Any], room: int) -> dict[str, float]:
    """The median time to the first token of the base and of adapters."""
    shape = Path(asked["folder"]) / asked["shape"]
    engine = Engine.load(shape / "base", EngineSettings(dtype=asked["dtype"], adapter_bytes=room))
    names = [f"{KIND}-{number}" for number in range(asked["repeats"] + 1)]
    for name in names:
        engine.add_adapter(name, adapter_folder(shape, name))
    draw, found = random.Random(0), list[tuple[float, float]]()
    for name in names:
        if room == NO_ROOM:
            _forget_files(adapter_folder(shape, name))
        prompts = [[draw.randrange(300, SHAPES[asked["shape"]]["vocab_size"]) for _ in range(128)] for _ in range(2)]
        found.append((_first_token(engine, prompts[0], None), _first_token(engine, prompts[1], name)))
    # The first pair warms up.
    base, adapter = zip(*found[1:], strict=True)
    return {"base": median(base), "adapter": median(adapter)}


def _first_token(engine: Engine, prompt: list[int], adapter: str | None) -> float:
    request = GenerateRequest(
        model="any", token_ids=tuple(prompt), sampling=SamplingParams(temperature=0, max_tokens=1)
    )
    start = perf_counter()
    engine.add("one", request, adapter=adapter)
    while engine.has_work:
        engine.step()
    return 1000 * (perf_counter() - start)


def _forget_files(folder: Path) -> None:
    """Have the system drop a folder's files from memory, so that they are read from the disk."""
    for path in folder.iterdir():
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


if __name__ == "__main__":
    print(json.dumps(measured(json.loads(sys.argv[1]))))
