"""What the quickstart measures over HTTP: the same questions to all models at once, and what mixing models costs."""

from collections.abc import Mapping, Sequence
from itertools import count
from statistics import mean
from typing import NamedTuple

from fettle.cli.quickstart.ask import Answers, Question, ask
from fettle.cli.quickstart.server import Address
from fettle.types.record import Record

BATCH = 24
TOKENS = 32
ROUNDS = 6
MIXED = ""


class Speeds(Record):
    """Tokens per second of batches that are alike but for which models their requests name."""

    alone: dict[str, float]
    mixed: float
    switch_cost: float = 0.0


class Served(NamedTuple):
    """All models' answers to the same questions, asked in one concurrent batch."""

    texts: dict[str, list[str]]
    tokens_per_second: float


def ask_everything(server: Address, models: Sequence[str], prompts: Sequence[str], *, max_tokens: int) -> Served:
    """Every prompt to every model, all requests at once, neighbours in the batch naming different models."""
    questions = [Question(model, prompt) for prompt in prompts for model in models]
    answers = ask(server, questions, max_tokens=max_tokens)
    texts = {model: answers.texts[place :: len(models)] for place, model in enumerate(models)}
    return Served(texts, answers.tokens_per_second)


def count_equal(served: Mapping[str, Sequence[str]], evaluated: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """For each model how many answers over HTTP are, letter by letter, those of the evaluation."""
    return {
        model: sum(one == other for one, other in zip(texts, evaluated[model], strict=True))
        for model, texts in served.items()
    }


def measure_speeds(server: Address, models: Sequence[str], prompts: Sequence[str]) -> Speeds:
    """Time batches of equal size for each model alone and for all of them mixed, in turns; the fastest of each.

    The server has answered before, so nothing has to warm up. The fastest: what else the machine does only slows down.
    """
    asked = {model: [model] for model in models} | {MIXED: models}
    batches = {name: _batch(named, prompts[:BATCH]) for name, named in asked.items()}
    numbers = count()
    rounds = [
        {name: _timed(server, _renewed(batch, next(numbers))) for name, batch in batches.items()} for _ in range(ROUNDS)
    ]
    return summed_up({name: [one[name] for one in rounds] for name in rounds[0]})


def _batch(models: Sequence[str], prompts: Sequence[str]) -> list[Question]:
    return [Question(models[place % len(models)], prompt) for place, prompt in enumerate(prompts)]


def _renewed(questions: Sequence[Question], number: int) -> list[Question]:
    """The questions with another beginning: of those that it has answered the server knows the prompts."""
    return [Question(model, f"{number:02}{place:02} {prompt}") for place, (model, prompt) in enumerate(questions)]


def summed_up(seconds_per_token: Mapping[str, Sequence[float]]) -> Speeds:
    """Speeds from the times of each batch; the mixed one has the name MIXED.

    The switch cost is how much longer a token takes in the mixed batch than on average in the batches of one model.
    """
    fastest = {name: min(times) for name, times in seconds_per_token.items()}
    mixed = fastest.pop(MIXED)
    return Speeds(
        alone={name: 1 / seconds for name, seconds in fastest.items()},
        mixed=1 / mixed,
        switch_cost=mixed / mean(fastest.values()) - 1,
    )


def _timed(server: Address, questions: Sequence[Question]) -> float:
    # Everybody makes the same number of tokens, or a model that stops early would look slow.
    answers: Answers = ask(server, questions, max_tokens=TOKENS, ignore_eos=True)
    return answers.seconds_per_token
