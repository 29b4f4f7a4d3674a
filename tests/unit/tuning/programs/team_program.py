"""Toy runs in several processes, without a model: `python -m team_program FOLDER`; each rank writes what came of it."""

import json
import sys
from pathlib import Path
from typing import NoReturn

import torch

from fettle.errors import TrainingFailed
from fettle.testing.training import ScriptedLearner, ToyLearner, toy_run
from fettle.tuning.distributed import Team, team
from fettle.workers.ranks import end_with_launcher, leave, run_ranks

SMALL = {"rows_per_step": 1, "num_steps": 5}


def outcome(toy: ToyLearner, folder: Path, others: Team, **settings) -> dict:
    events = []
    run = toy_run(toy, folder, events.append, **settings)
    run.team = others
    try:
        progress = run.run()
    except TrainingFailed as error:
        return {"error": error.message}
    told = [event.text for event in events if event.type == "message"]
    losses = [event.loss for event in events if event.type == "step"]
    return {
        "value": float(toy.value.detach()),
        "losses": losses,
        "told": told,
        "step": progress.step,
        "validation": progress.validation.loss,
        "max_tokens": progress.max_tokens_per_batch,
        "written": run.checkpoints.steps,
    }


def forgetful(others: Team, room: int) -> ToyLearner:
    """A learner whose second process has memory for only so many tokens."""
    toy, plain = ToyLearner(), ToyLearner.terms

    def terms(batch):
        if others.rank == 1 and len(batch.tokens) > room:
            raise MemoryError
        return plain(toy, batch)

    toy.terms = terms
    return toy


def divided(others: Team) -> ScriptedLearner:
    """A learner whose validation falls for ever in the second process, and less than it rises in the first."""
    steps = range(100)
    validation = [5 + 0.2 * step if others.rank == 0 else 5 - 0.01 * step for step in steps]
    return ScriptedLearner([1.0 for _ in steps], validation)


def gradients(others: Team) -> list:
    """The sums where both have a gradient, only the second, or nobody."""
    values = [torch.zeros(2, requires_grad=True) for _ in range(3)]
    values[0].grad = torch.full((2,), 1.0 + others.rank)
    if others.rank == 1:
        values[1].grad = torch.full((2,), 5.0)
    others.add_gradients(values)
    return [None if value.grad is None else value.grad.tolist() for value in values]


def everything(others: Team, folder: Path) -> dict:
    def named(name: str) -> Path:
        return folder / name

    stopping = {"early_stopping": {"patience": 2, "threshold": 0.0}, "evaluation_interval": 1, "num_steps": 30}
    return {
        "plain": outcome(ToyLearner(), named("plain"), others),
        "single rows": outcome(ToyLearner(), named("single"), others, **SMALL),
        "little memory": outcome(forgetful(others, 8), named("little"), others),
        "no memory": outcome(forgetful(others, 3), named("none"), others),
        "stopping": outcome(divided(others), named("stopping"), others, **stopping),
        "gradients": gradients(others),
        "gathered": others.gather([0.5 + others.rank] * (others.rank + 1)),
        "seed": others.seed(17),
        "random": torch.rand(1, generator=torch.Generator().manual_seed(others.seed(17))).item(),
    }


def as_rank(folder: Path) -> NoReturn:
    end_with_launcher()
    with team() as others:
        (folder / f"{others.rank}.json").write_text(json.dumps(everything(others, folder)))
    leave(0)


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    if len(arguments) > 1:
        as_rank(folder)
    return 1 if run_ranks("team_program", str(folder), 2) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
