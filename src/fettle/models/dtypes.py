"""Which number type to compute in on this machine."""

import torch


def has_native_bfloat16(device: str = "cpu") -> bool:
    """Whether bf16 products are faster than float32 ones here; on a CPU without the instructions they are emulated."""
    if device != "cpu":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


#: Below this a serving step costs Python more than arithmetic, so bf16 gains nothing; and in float32 the greedy
#: answers to a request do not depend on what else is in its batch, while bf16 rounds by the batch's shape.
SMALL_MODEL_PARAMETERS = 100_000_000


def serving_dtype(name: str, num_parameters: int, device: str = "cpu") -> torch.dtype:
    """As `dtype_for`, but 'auto' is float32 for small models."""
    if name == "auto" and num_parameters < SMALL_MODEL_PARAMETERS:
        return torch.float32
    return dtype_for(name, device)


def dtype_for(name: str, device: str = "cpu") -> torch.dtype:
    """'auto', 'float32' or 'bfloat16' as a torch type; auto is bf16 where the machine has it."""
    if name == "auto":
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
