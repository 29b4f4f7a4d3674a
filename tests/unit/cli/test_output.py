"""What commands print."""

import json
from datetime import UTC, datetime

import pytest

from fettle.cli import output
from fettle.types.tuning import EarlyStopping


def test_json_is_one_document_of_plain_values(capsys):
    output.print_json({"settings": EarlyStopping(), "files": [EarlyStopping(patience=1)], "text": "ü\x1b"})
    assert json.loads(capsys.readouterr().out) == {
        "settings": {"patience": 6, "threshold": 0.01},
        "files": [{"patience": 1, "threshold": 0.01}],
        "text": "ü\x1b",
    }


def test_a_table_shows_every_cell_and_no_markup_is_read_in_them(capsys):
    output.console.cache_clear()
    output.print_table(["name", "size"], [["[red]tickets", 1234567], ["[/]", None]])
    shown = capsys.readouterr().out
    assert "[red]tickets" in shown
    assert "1,234,567" in shown
    assert "[/]" in shown


def test_in_a_narrow_terminal_names_stay_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    output.console.cache_clear()
    output.print_table(["model", "size", "words"], [["a-rather-long-name:12", 1, "word " * 30]])
    output.console.cache_clear()
    assert "a-rather-long-name:12" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (13_400_000, "13.4 MB"), (5e12, "5.0 TB")]
)
def test_sizes_are_told_in_the_unit_that_fits(size, text):
    assert output.bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (42, "42 s"), (185, "3:05"), (3729, "1:02:09"), (59.9, "60 s"), (119.9, "2:00")],
)
def test_durations_are_told_for_people(seconds, text):
    assert output.seconds_text(seconds) == text


def test_times_are_told_to_the_minute():
    assert output._cell(datetime(2026, 11, 21, 12, 30, 59, tzinfo=UTC).astimezone()).endswith(":30")
