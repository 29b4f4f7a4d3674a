"""`transformers` in its two ways to generate, and `peft`, whose LoRA adapters mix in one batch by `adapter_names`."""

import warnings
from typing import Any

import torch
from rounds import serve
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

#: Of a continuous batch. Its cache has blocks for 64 requests of this benchmark; else it would take most of the memory.
NUM_BLOCKS, MAX_BATCH_TOKENS = 64, 512


class Generate:
    """`generate` on one static batch of prompts that are equally long: its best case."""

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["threads"])
        self._dtype = getattr(torch, job["dtype"])
        self._model: Any = AutoModelForCausalLM.from_pretrained(job["base"], dtype=self._dtype).eval()

    @torch.inference_mode()
    def answers(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> list[list[int]]:
        """The new tokens of each prompt."""
        tokens = torch.tensor(prompts)
        named = {} if adapters is None else {"adapter_names": adapters}
        mask = torch.ones_like(tokens)
        made = self._model.generate(
            input_ids=tokens, attention_mask=mask, do_sample=False, max_new_tokens=num_new, pad_token_id=0, **named
        )
        rows: list[list[int]] = made[:, tokens.shape[1] :].tolist()
        return rows

    def facts(self) -> dict[str, Any]:
        """Nothing."""
        return {}


class ContinuousBatching(Generate):
    """`generate_batch`."""

    def answers(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> list[list[int]]:
        """The new tokens of each prompt."""
        asked = GenerationConfig(max_new_tokens=num_new, do_sample=False, eos_token_id=-1, pad_token_id=0)
        batching = ContinuousBatchingConfig(num_blocks=NUM_BLOCKS, max_batch_tokens=MAX_BATCH_TOKENS)
        found = self._model.generate_batch(prompts, generation_config=asked, continuous_batching_config=batching)
        return [list(one.generated_tokens) for one in found.values()]


class Peft(Generate):
    """`generate` with `adapter_names`."""

    def __init__(self, job: dict[str, Any]) -> None:
        from peft import PeftModel

        super().__init__(job)
        (first, folder), *others = job["adapters"].items()
        self._model = PeftModel.from_pretrained(self._model, folder, adapter_name=first)
        for name, folder in others:
            self._model.load_adapter(folder, adapter_name=name)
        # peft keeps adapters in float32 beside a bf16 base, which it would then compute in float32.
        self._model = self._model.to(self._dtype).eval()


WAYS = {"generate": Generate, "continuous_batching": ContinuousBatching, "peft": Peft}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(lambda job: WAYS[job["settings"]["way"]](job))
