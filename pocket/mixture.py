"""The base model's training data: prose and tasks as flat token arrays, the same for the same seed.

    python -m pocket.mixture --out /tmp/pocket-data --tokens 60000000 --seed 17

For each of `train`, `valid_prose` and `valid_tasks`: `<set>.tokens.npy` (uint16, the documents one after another),
`<set>.lengths.npy` (int32, tokens per document) and `<set>.scored.npy` (uint8, 1 where the token itself is a target of
the loss, to be predicted from those before it).
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from pocket.prose import Passages, documents, novel_files, read_novel
from pocket.tasks import WEIGHTS, any_row
from pocket.tasks.rows import Row
from pocket.tokenizer import ASSISTANT, CONTEXT_LENGTH, END, END_OF_TEXT, render, token_id

PROSE_SHARE = 0.12
ANSWERS_ONLY_SHARE = 0.75
"""Of the task rows, how many take a loss on the assistant's tokens alone; in the others every token counts."""

VALIDATION_TOKENS = 100_000
BATCH_SIZE = 512
NUM_PROCESSES = 2


@dataclass(frozen=True)
class Part:
    """One piece of work: `tokens` tokens of prose or of tasks from the training or the held-out novels."""

    corpus: Path
    tokenizer: Path
    seed: int
    num_prose: int
    num_tasks: int
    held_out: bool = False
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)


@dataclass
class Documents:
    """Tokenized documents, in order."""

    tokens: list[NDArray[np.uint16]] = field(default_factory=list)
    scored: list[NDArray[np.uint8]] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, theme: str, ids: list[int], scored: NDArray[np.uint8]) -> None:
        """Append one document."""
        self.tokens.append(np.array(ids, dtype=np.uint16))
        self.scored.append(scored)
        self.rows[theme] += 1
        self.counts[theme] += len(ids)


def answer_mask(ids: list[int], assistant: int, end: int) -> NDArray[np.uint8]:
    """1 for what the assistant writes, its end mark included, and 0 elsewhere."""
    mask = np.zeros(len(ids), dtype=np.uint8)
    inside = False
    for index, token in enumerate(ids):
        mask[index] = inside
        if token == assistant:
            inside = True
        elif token == end:
            inside = False
    return mask


def build(part: Part) -> Documents:
    """The documents of one part, shuffled; each process calls this once."""
    rng = random.Random(part.seed)
    tokenizer = Tokenizer.from_file(str(part.tokenizer / "tokenizer.json"))
    novels = [read_novel(file) for file in novel_files(part.corpus, held_out=part.held_out)]
    found = Documents()
    _add_prose(found, tokenizer, documents(novels, rng), part.num_prose)
    source = Passages(novels, rng)
    _add_tasks(found, tokenizer, lambda: any_row(rng, source, part.weights), rng, part.num_tasks)
    order = list(range(len(found.tokens)))
    rng.shuffle(order)
    found.tokens = [found.tokens[index] for index in order]
    found.scored = [found.scored[index] for index in order]
    return found


def _add_prose(found: Documents, tokenizer: Tokenizer, texts: Iterator[str], num_tokens: int) -> None:
    """Append prose until it has `num_tokens` tokens; every token is a target."""
    end = token_id(tokenizer, END_OF_TEXT)
    while found.counts["prose"] < num_tokens:
        for encoding in tokenizer.encode_batch(list(islice(texts, BATCH_SIZE))):
            if found.counts["prose"] >= num_tokens:
                return
            ids = [*encoding.ids[: CONTEXT_LENGTH - 1], end]
            found.add("prose", ids, np.ones(len(ids), dtype=np.uint8))


def _add_tasks(
    found: Documents, tokenizer: Tokenizer, draw: Callable[[], tuple[str, Row]], rng: random.Random, num_tokens: int
) -> None:
    """Append task rows until they have `num_tokens` tokens; a row over the context is left out."""
    assistant, end = token_id(tokenizer, ASSISTANT), token_id(tokenizer, END)
    size = 0
    while size < num_tokens:
        batch = [draw() for _ in range(BATCH_SIZE)]
        for (theme, _), encoding in zip(batch, tokenizer.encode_batch([render(row) for _, row in batch]), strict=True):
            ids = encoding.ids
            if len(ids) > CONTEXT_LENGTH or size >= num_tokens:
                continue
            mask = answer_mask(ids, assistant, end)
            found.add(theme, ids, mask if rng.random() < ANSWERS_ONLY_SHARE else np.ones_like(mask))
            size += len(ids)


def write(name: str, parts: list[Documents], folder: Path) -> dict[str, object]:
    """Write one set's three arrays; what it holds, per theme."""
    tokens = [ids for part in parts for ids in part.tokens]
    np.save(folder / f"{name}.tokens.npy", np.concatenate(tokens))
    np.save(folder / f"{name}.scored.npy", np.concatenate([mask for part in parts for mask in part.scored]))
    np.save(folder / f"{name}.lengths.npy", np.array([len(ids) for ids in tokens], dtype=np.int32))
    rows: Counter[str] = sum((part.rows for part in parts), Counter())
    counts: Counter[str] = sum((part.counts for part in parts), Counter())
    themes = {theme: {"rows": rows[theme], "tokens": counts[theme]} for theme in sorted(rows)}
    return {"rows": rows.total(), "tokens": counts.total(), "themes": themes}


def main() -> None:
    """Build all sets and write them with their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, required=True, help="tokens to train on")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--corpus", type=Path, default=Path("/tmp/corpus"))
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).parent / "tokenizer")
    parser.add_argument("--weight", nargs="*", default=[], metavar="THEME=NUMBER", help="instead of a theme's own")
    args = parser.parse_args()
    weights = WEIGHTS | {name: float(number) for name, _, number in (given.partition("=") for given in args.weight)}
    args.out.mkdir(parents=True, exist_ok=True)

    def part(seed: int, prose: float, tasks: float, *, held_out: bool = False) -> Part:
        return Part(args.corpus, args.tokenizer, seed, int(prose), int(tasks), held_out, weights)

    share = args.tokens / NUM_PROCESSES
    seeds = random.Random(args.seed).sample(range(2**40), NUM_PROCESSES + 2)
    work = [part(seed, share * PROSE_SHARE, share * (1 - PROSE_SHARE)) for seed in seeds[:NUM_PROCESSES]]
    work += [part(seeds[-2], VALIDATION_TOKENS, 0, held_out=True), part(seeds[-1], 0, VALIDATION_TOKENS, held_out=True)]
    with ProcessPoolExecutor(NUM_PROCESSES) as pool:
        *train, prose, tasks = pool.map(build, work)
    report = {
        "seed": args.seed,
        "train": write("train", train, args.out),
        "valid_prose": write("valid_prose", [prose], args.out),
        "valid_tasks": write("valid_tasks", [tasks], args.out),
    }
    (args.out / "mixture.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
