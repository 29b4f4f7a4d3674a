"""vLLM on the CPU, in this process."""

import os
from typing import Any

from rounds import serve

#: Rank of the adapters, and tokens of a prompt with its answer, at most.
MAX_RANK, MAX_LENGTH, MAX_SEQUENCES = 16, 512, 32


class Vllm:
    """An `LLM` with its adapters."""

    def __init__(self, job: dict[str, Any]) -> None:
        os.environ |= {
            "VLLM_CPU_KVCACHE_SPACE": "2",
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{job['threads'] - 1}",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        folders = job["adapters"]
        mixing = {"enable_lora": True, "max_loras": len(folders), "max_lora_rank": MAX_RANK} if folders else {}
        self._llm: Any = LLM(
            model=job["base"],
            dtype=job["dtype"],
            max_model_len=MAX_LENGTH,
            max_num_seqs=MAX_SEQUENCES,
            skip_tokenizer_init=True,
            **mixing,
        )
        self._adapters = {
            name: LoRARequest(name, number, folder) for number, (name, folder) in enumerate(folders.items(), start=1)
        }

    def answers(self, prompts: list[list[int]], num_new: int, adapters: list[str] | None) -> list[list[int]]:
        """The new tokens of each prompt."""
        from vllm import SamplingParams

        asked = [{"prompt_token_ids": prompt} for prompt in prompts]
        sampling = SamplingParams(temperature=0, max_tokens=num_new, ignore_eos=True, detokenize=False)
        named = None if adapters is None else [self._adapters[name] for name in adapters]
        found = self._llm.generate(asked, sampling, lora_request=named, use_tqdm=False)
        return [list(one.outputs[0].token_ids) for one in found]

    def facts(self) -> dict[str, Any]:
        """Nothing."""
        return {}


if __name__ == "__main__":
    serve(Vllm)
