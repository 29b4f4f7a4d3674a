"""Toy runs in two processes are what one process makes of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fettle.testing.training import ToyLearner, toy_run
from fettle.tuning.distributed import ALONE, Team

PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    """What each of two processes has seen."""
    folder = tmp_path_factory.mktemp("team")
    environment = {**os.environ, "PYTHONPATH": str(PROGRAMS), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "team_program", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def alone(folder: Path, **settings) -> tuple[float, list[float], float]:
    toy, events = ToyLearner(), []
    progress = toy_run(toy, folder, events.append, **settings).run()
    losses = [event.loss for event in events if event.type == "step"]
    return float(toy.value.detach()), losses, progress.validation.loss


@pytest.mark.parametrize(
    ("name", "settings"), [("plain", {}), ("single rows", {"rows_per_step": 1, "num_steps": 5}), ("little memory", {})]
)
def test_two_processes_learn_what_one_learns(name, settings, ranks, tmp_path):
    value, losses, validation = alone(tmp_path, **settings)
    for rank in ranks:
        seen = rank[name]
        assert seen["value"] == pytest.approx(value, rel=1e-6)
        assert seen["losses"] == pytest.approx(losses, rel=1e-6)
        assert seen["validation"] == pytest.approx(validation, rel=1e-6)
    assert ranks[0][name]["value"] == ranks[1][name]["value"]


def test_only_the_first_process_writes_checkpoints(ranks):
    assert ranks[0]["plain"]["written"] == [10]
    assert ranks[1]["plain"]["written"] == []


def test_all_take_smaller_batches_when_one_has_not_the_memory(ranks):
    assert [rank["little memory"]["max_tokens"] for rank in ranks] == [8, 8]
    assert all(any("16 tokens at once do not fit" in text for text in rank["little memory"]["told"]) for rank in ranks)
    assert all("one row of 4 tokens does not fit" in rank["no memory"]["error"] for rank in ranks)


def test_all_stop_early_at_the_same_step_though_their_own_losses_differ(ranks):
    # The means over both are 5, 5.095, 5.19: two evaluations without improvement.
    assert [rank["stopping"]["step"] for rank in ranks] == [3, 3]


def test_a_gradient_that_nobody_has_stays_away_and_the_others_are_summed(ranks):
    assert [rank["gradients"] for rank in ranks] == [[[3.0, 3.0], [5.0, 5.0], None]] * 2


def test_everybody_knows_what_everybody_tells(ranks):
    assert [rank["gathered"] for rank in ranks] == [[[0.5], [1.5, 1.5]]] * 2


def test_the_first_process_has_the_seed_of_one_alone_and_the_second_its_own(ranks):
    assert ranks[0]["seed"] == 17 == ALONE.seed(17)
    assert ranks[1]["seed"] == Team(1, 2).seed(17) != Team(2, 3).seed(17)
    assert ranks[0]["random"] != ranks[1]["random"]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_row_is_one_process_s_and_none_has_many_more_tokens(size):
    lengths = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
    rows = [11, 3, 5, 0, 7, 8]
    shares = [Team(rank, size).share(rows, lengths) for rank in range(size)]
    assert sorted(row for share in shares for row in share) == sorted(rows)
    tokens = [sum(lengths[row] for row in share) for share in shares]
    assert max(tokens) - min(tokens) <= max(lengths)
