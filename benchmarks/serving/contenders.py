"""The ways of serving that are compared; each answers the same prompts greedily and gives the new tokens."""

import json
import shutil
from pathlib import Path
from typing import Any, Protocol

import torch
from common import random_llama

from fettle.serving import Engine, EngineSettings
from fettle.testing.models import tiny_adapter
from fettle.types.generation import GenerateRequest, SamplingParams

TOKENIZER = Path(__file__).parents[2] / "pocket" / "tokenizer"
NUM_ADAPTERS = 8


class Contender(Protocol):
    """One way to serve."""

    name: str

    def answers(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> list[list[int]]:
        """The new tokens of each prompt, each by its adapter; None is the base model for all."""


def make_folders(folder: Path, shape: str) -> None:
    """Write the base model and the adapters `lora-0`... and `ia3-0`..."""
    base = random_llama(folder / "base", shape)
    for path in TOKENIZER.iterdir():
        shutil.copyfile(path, base / path.name)
    # No end token: every answer has the same number of tokens, whoever makes it.
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"eos_token_id": None, "bos_token_id": None}))
    for number in range(NUM_ADAPTERS):
        tiny_adapter(folder / f"lora-{number}", "lora", base, number, rank=16)
        tiny_adapter(folder / f"ia3-{number}", "ia3", base, number)


class Ours:
    """The engine, requests one after the other into one continuous batch."""

    name = "fettle"

    def __init__(self, folder: Path, dtype: str, names: list[str]) -> None:
        """The engine with these adapters loaded."""
        self._engine = Engine.load(folder / "base", EngineSettings(dtype=dtype))
        for name in names:
            self._engine.add_adapter(name, folder / name)

    def answers(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> list[list[int]]:
        """The new tokens of each prompt."""
        sampling = SamplingParams(temperature=0, max_tokens=num_new, ignore_eos=True)
        for place, prompt in enumerate(prompts):
            request = GenerateRequest(model="any", token_ids=tuple(prompt), sampling=sampling)
            self._engine.add(str(place), request, adapter=adapters[place] if adapters else None)
        made: list[list[int]] = [[] for _ in prompts]
        while self._engine.has_work:
            for chunk in self._engine.step():
                made[int(chunk.request_id)] += chunk.token_ids
        return made


class Transformers:
    """`generate` on one static batch."""

    name = "transformers"

    def __init__(self, folder: Path, dtype: str) -> None:
        """The base model."""
        from transformers import AutoModelForCausalLM

        self._model: Any = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=getattr(torch, dtype)).eval()

    @torch.inference_mode()
    def answers(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> list[list[int]]:
        """The new tokens of each prompt."""
        tokens = torch.tensor(prompts)
        named = {} if adapters is None else {"adapter_names": adapters}
        made = self._model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=num_new,
            pad_token_id=0,
            **named,
        )
        rows: list[list[int]] = made[:, tokens.shape[1] :].tolist()
        return rows


class Peft(Transformers):
    """`generate` with `adapter_names`: LoRA adapters mixed in one static batch."""

    name = "peft"

    def __init__(self, folder: Path, dtype: str, names: list[str]) -> None:
        """The base model with these adapters loaded."""
        from peft import PeftModel

        super().__init__(folder, dtype)
        self._model = PeftModel.from_pretrained(self._model, folder / names[0], adapter_name=names[0])
        for name in names[1:]:
            self._model.load_adapter(folder / name, adapter_name=name)
        # peft keeps adapters in float32 beside a bf16 base, which it would then compute in float32.
        self._model = self._model.to(getattr(torch, dtype)).eval()
