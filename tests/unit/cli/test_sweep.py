"""From the words of the command line to a grid, and what is told at the end."""

import pytest

from fettle.cli.main import main
from fettle.cli.sweep import values_of, with_deviation


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FETTLE_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-3,4e-3", [0.001, 0.004]),
        ("8, 32", [8, 32]),
        ("linear,cosine", ["linear", "cosine"]),
        ('["q_proj"],["k_proj","v_proj"]', [["q_proj"], ["k_proj", "v_proj"]]),
        ("true,auto,2", [True, "auto", 2]),
        ("null", [None]),
        ("", []),
    ],
)
def test_values_are_parted_by_commas_and_read_as_json_or_text(text, values):
    assert values_of(text) == values


def test_a_deviation_is_told_where_there_is_one():
    assert with_deviation(0.51234, 0.0101, "{:.4f}") == "0.5123 ± 0.0101"
    assert with_deviation(0.5, None, "{:.1%}") == "50.0%"
    assert not with_deviation(None, None, "{:.4f}")


def test_a_file_is_needed_and_only_for_a_new_sweep(capsys):
    assert main(["sweep", "--grid", "rank=1,2"]) == 2
    assert "no FILE is given" in capsys.readouterr().err
    assert main(["sweep", "rows.jsonl", "--resume", "sweep_1"]) == 2
    assert "goes on as it was begun" in capsys.readouterr().err


def test_a_grid_that_cannot_be_used_is_told_with_an_example(capsys):
    assert main(["sweep", "rows.jsonl", "--grid", "epochs=0,1", "--grid", "seed=1,2", "--seeds", "2"]) == 2
    told = capsys.readouterr().err
    assert "'seed' is in the grid" in told
    assert "--grid learning_rate=1e-3,4e-3" in told
