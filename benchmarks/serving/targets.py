"""What the engine shall reach, row by row, and whether it does."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from common import SHAPES
from environments import NotMeasured
from results import Results

#: Bytes of a weight in the number type that all contenders are given.
WEIGHT_BYTES = {"float32": 4, "bfloat16": 2}


class Target(NamedTuple):
    """A figure and its bound: at least that, or at most."""

    what: str
    bound: float
    measure: Callable[[Results], float]
    is_most: bool = False
    form: str = "{:.2f} x"

    def row(self, results: Results) -> dict[str, Any]:
        """For the table: what was found, and whether it holds; or why there is nothing."""
        bound = ("<= " if self.is_most else ">= ") + self.form.format(self.bound)
        try:
            value = self.measure(results)
        except NotMeasured as error:
            return {"what": self.what, "target": bound, "measured": None, "holds": None, "why": str(error)}
        holds = value <= self.bound if self.is_most else value >= self.bound
        return {"what": self.what, "target": bound, "measured": value, "holds": holds, "shown": self.form.format(value)}


def targets(dtype: str) -> Iterator[Target]:
    """All rows, in their order."""
    yield from _base()
    yield from (_floor(concurrency, dtype) for concurrency in (8, 32))
    for kind, bound in (("ia3", 0.95), ("lora", 0.85)):
        yield from (_of_base(f"{kind}-{count}", bound, c) for count in (100, 1000) for c in (8, 32))
    for peer, bound in (("peft", 10), ("vllm", 5), ("llama.cpp", 4)):
        yield from (_against("lora-8", peer, bound, c, on="adapters") for c in (8, 32))
    yield _late("first token of a resident adapter, first use", 5, "resident_more_milliseconds")
    yield _late("first token of an adapter from disk", 50, "disk_more_milliseconds")
    yield _memory(dtype)
    yield Target(
        "cost of streaming over HTTP, 32 clients", 0.10, lambda found: found.probe("streaming", "cost"), True, "{:.1%}"
    )


def _base() -> Iterator[Target]:
    yield _against("base", "llama.cpp", 1, 1)
    for concurrency in (8, 32):
        for peer, bound in (("transformers", 3), ("transformers-cb", 5), ("vllm", 1.25), ("llama.cpp", 1.25)):
            yield _against("base", peer, bound, concurrency)
    yield from (_against("base", "vllm", 1.5, c, ours="fettle-int8") for c in (8, 32))


def _against(case: str, peer: str, bound: float, concurrency: int, *, on: str = "base", ours: str = "fettle") -> Target:
    def measure(found: Results) -> float:
        return found.speed(case, ours, concurrency, on) / found.speed(case, peer, concurrency, on)

    return Target(f"{case}, {concurrency} at once: {ours} to {peer}", bound, measure)


def _of_base(case: str, bound: float, concurrency: int) -> Target:
    def measure(found: Results) -> float:
        return found.speed(case, "fettle", concurrency, "adapters") / found.speed(case, "fettle", concurrency, "base")

    return Target(f"{case}, {concurrency} at once: to the base alone", bound, measure, form="{:.1%}")


def _floor(concurrency: int, dtype: str) -> Target:
    """Decoding beside a machine that does nothing but read every weight once a step, or multiply by it."""

    def measure(found: Results) -> float:
        num_weights = found.fact("base", "fettle", "num_parameters") - _num_embedded("m110")
        read = num_weights * WEIGHT_BYTES[dtype] / found.probe("floor", "bytes_per_second")
        multiplied = 2 * num_weights * concurrency / found.probe("floor", "flops_per_second")
        speed = found.speed("base", "fettle", concurrency, measure="decode_tokens_per_second")
        return speed * max(read, multiplied) / concurrency

    return Target(f"base, {concurrency} at once: share of the machine's floor in decode", 0.5, measure, form="{:.1%}")


def _late(what: str, bound: float, name: str) -> Target:
    return Target(what, bound, lambda found: found.probe("first_token", name), True, "{:+.1f} ms")


def _memory(dtype: str) -> Target:
    """All together may take what 1 % of the base for each would."""

    def share(found: Results) -> float:
        of_base = found.fact("ia3-1000", "fettle", "num_parameters") * WEIGHT_BYTES[dtype]
        return found.fact("ia3-1000", "fettle", "adapter_bytes") / 1000 / of_base

    return Target("each of 1,000 resident T-Few adapters, of the base's bytes", 0.01, share, True, "{:.3%}")


def _num_embedded(shape: str) -> int:
    """Weights of the table of tokens, of which a step reads only a row for each."""
    return SHAPES[shape]["vocab_size"] * SHAPES[shape]["hidden_size"]
