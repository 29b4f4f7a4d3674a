"""What is measured: the contenders, and the cases in which they answer the same requests."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Contender(NamedTuple):
    """A way to serve that runs in a process of its own.

    Attributes:
        script: in `contenders/`.
        environment: where it runs, listed in `environments.py`; None is Fettle's own.
        settings: of the script.
    """

    script: str
    environment: str | None = None
    settings: Mapping[str, Any] = {}


CONTENDERS = {
    "fettle": Contender("fettle_engine.py"),
    "fettle-int8": Contender("fettle_engine.py", settings={"weights": "int8"}),
    "transformers": Contender("hugging_face.py", settings={"way": "generate"}),
    "transformers-cb": Contender("hugging_face.py", settings={"way": "continuous_batching"}),
    "peft": Contender("hugging_face.py", settings={"way": "peft"}),
    "llama.cpp": Contender("llama_cpp.py", environment="llama.cpp"),
    "vllm": Contender("vllm_cpu.py", environment="vllm"),
}


class Case(NamedTuple):
    """Requests for adapters, or for the base, that contenders answer in turn.

    Attributes:
        shape: of the model; one of `common.SHAPES`.
        contenders: who answers.
        concurrency: how many requests come at once.
        adapters: how many of each kind; the i-th request of all uses adapter i mod their number.
        is_beside_base: each contender also answers requests for its base in turn, with the adapters loaded.
    """

    shape: str
    contenders: tuple[str, ...]
    concurrency: tuple[int, ...]
    adapters: Mapping[str, int] = {}
    is_beside_base: bool = False

    @property
    def names(self) -> list[str]:
        """Of all adapters, the kinds in turn."""
        most = max(self.adapters.values(), default=0)
        return [f"{kind}-{n}" for n in range(most) for kind, count in self.adapters.items() if n < count]


def _many(kind: str, count: int) -> Case:
    return Case("m110", ("fettle",), (8, 32), {kind: count}, is_beside_base=True)


_WITHOUT_ADAPTERS = ("fettle", "fettle-int8", "transformers", "transformers-cb", "llama.cpp", "vllm")
CASES = {
    "base": Case("m110", _WITHOUT_ADAPTERS, (1, 8, 32)),
    "base-m8": Case("m8", _WITHOUT_ADAPTERS, (1, 8, 32)),
    "lora-8": Case("m110", ("fettle", "peft", "llama.cpp", "vllm"), (8, 32), {"lora": 8}),
    "mixed-8": Case("m110", ("fettle",), (8, 32), {"lora": 4, "ia3": 4}, is_beside_base=True),
    "ia3-100": _many("ia3", 100),
    "ia3-1000": _many("ia3", 1000),
    "lora-100": _many("lora", 100),
    "lora-1000": _many("lora", 1000),
}
#: Programs that measure one thing each, and print it as JSON.
PROBES = ("floor", "first_token", "streaming")
QUICK_CASES = ("base", "lora-8", "ia3-100", "lora-100")
