"""What the server costs: tokens per second as streams from `fettle up`, and of the engine alone on as long prompts."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import SHAPES
from plan import CONTENDERS
from processes import Running

from fettle.loadtest.report import Summary
from fettle.loadtest.run import run_load_test
from fettle.loadtest.spec import LoadSpec

KEY, NAME = "a key of this benchmark", "served"


def measured(asked: dict[str, Any]) -> dict[str, float]:
    """The best of the repeats of both, in turn."""
    folder = Path(asked["folder"])
    base = folder / asked["shape"] / "base"
    job = {"base": str(base), "adapters": {}, "dtype": asked["dtype"], "threads": asked["threads"]}
    streamed, alone = [], []
    with _server(base, asked) as url, Running("fettle", CONTENDERS["fettle"], job, folder / "streaming.log") as engine:
        for repeat in range(asked["repeats"]):
            found = asyncio.run(_streamed(url, asked, seed=repeat))
            length = round(found.prompt_tokens / found.num_answered)
            streamed.append(found.output_tokens_per_second)
            alone.append(_alone(engine, asked, length, seed=repeat))
    rates = {"streamed_tokens_per_second": max(streamed), "engine_tokens_per_second": max(alone)}
    return rates | {"prompt_tokens": length, "cost": 1 - max(streamed) / max(alone)}


async def _streamed(url: str, asked: dict[str, Any], seed: int) -> Summary:
    spec = LoadSpec(
        url=url,
        models=(NAME,),
        concurrency=(asked["concurrency"],),
        requests=asked["concurrency"],
        prompt_length=f"fixed:{asked['prompt_tokens']}",
        output_length=f"fixed:{asked['new_tokens']}",
        ignores_eos=True,
        warmup=asked["concurrency"],
        seed=seed,
    )
    found = (await run_load_test(spec, key=KEY)).results[0].all
    if found.failures:
        raise RuntimeError(f"requests failed: {found.failures[0].kind}: {found.failures[0].example}")
    return found


def _alone(engine: Running, asked: dict[str, Any], length: int, seed: int) -> float:
    """Tokens per second of the engine, whose first round is a warm-up too."""
    draw, size = random.Random(seed), SHAPES[asked["shape"]]["vocab_size"]
    rounds = [
        [[draw.randrange(300, size) for _ in range(length)] for _ in range(asked["concurrency"])] for _ in range(2)
    ]
    told = [engine.answer(prompts, asked["new_tokens"], None) for prompts in rounds][-1]
    return sum(map(len, told["answers"])) / float(told["seconds"])


@contextmanager
def _server(base: Path, asked: dict[str, Any]) -> Iterator[str]:
    """`fettle up` on a home of its own; its address."""
    home = Path(asked["folder"]) / "home"
    told = {
        "FETTLE_HOME": home,
        "FETTLE_API_KEY": KEY,
        "FETTLE_THREADS": asked["threads"],
        "FETTLE_DTYPE": asked["dtype"],
    }
    environment = os.environ | {name: str(value) for name, value in told.items()}
    command = [sys.executable, "-m", "fettle"]
    subprocess.run([*command, "pull", base, "--name", NAME], env=environment, check=True, stdout=sys.stderr)
    up = [*command, "up", "--port", "0", "--base", NAME, "--json"]
    with subprocess.Popen(up, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield json.loads(process.stdout.readline())["base_url"]
        finally:
            process.terminate()


if __name__ == "__main__":
    print(json.dumps(measured(json.loads(sys.argv[1]))))
