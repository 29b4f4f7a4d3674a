"""Fettle's engine: all requests of a round are queued one after the other into one continuous batch."""

from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rounds import serve

from fettle.models.loading import read_config
from fettle.serving import Engine, EngineSettings
from fettle.types.generation import GenerateRequest, SamplingParams


class Fettle:
    """The engine with its adapters."""

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["threads"])
        room = _room(job["adapters"].values(), getattr(torch, job["dtype"]))
        settings = EngineSettings.checked({"dtype": job["dtype"], "adapter_bytes": room, **job["settings"]})
        self._engine = Engine.load(Path(job["base"]), settings)
        for name, folder in job["adapters"].items():
            self._engine.add_adapter(name, Path(folder))
        stats = self._engine.stats()
        self._facts = {name: stats[name] for name in ("adapters_resident", "adapter_bytes")}
        self._facts["num_parameters"] = read_config(Path(job["base"])).num_parameters

    def answers(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> list[list[int]]:
        """The new tokens of each prompt."""
        sampling = SamplingParams(temperature=0, max_tokens=num_new, ignore_eos=True)
        for place, prompt in enumerate(prompts):
            request = GenerateRequest(model="any", token_ids=tuple(prompt), sampling=sampling)
            self._engine.add(str(place), request, adapter=adapters[place] if adapters else None)
        made: list[list[int]] = [[] for _ in prompts]
        self._step_until(made, lambda: all(made))
        start, num_before = perf_counter(), sum(map(len, made))
        self._step_until(made, lambda: max(map(len, made)) == num_new)
        self._facts["decode_seconds"] = perf_counter() - start
        self._facts["decode_tokens"] = sum(map(len, made)) - num_before
        self._step_until(made, lambda: not self._engine.has_work)
        return made

    def facts(self) -> dict[str, Any]:
        """Sizes; and of the last round, what came while every prompt was read and no answer was whole."""
        return self._facts

    def _step_until(self, made: list[list[int]], is_done: Any) -> None:
        while not is_done():
            for chunk in self._engine.step():
                made[int(chunk.request_id)] += chunk.token_ids


def _room(folders: Iterable[str], dtype: torch.dtype) -> int:
    """Memory in which no adapter is evicted; their files hold float32."""
    held = sum(path.stat().st_size for folder in folders for path in Path(folder).glob("*.safetensors"))
    return max(1, held * dtype.itemsize // torch.float32.itemsize)


if __name__ == "__main__":
    serve(Fettle)
