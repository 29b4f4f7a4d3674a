"""The held-out part: the same rows everywhere, and about as many as asked."""

import pytest

from fettle.data.split import is_held_out

FIRST_OF_17 = [15, 24, 43, 53, 57]


def held_out(count: int, fraction: float, seed: int = 17) -> set[int]:
    return {row for row in range(count) if is_held_out(row, fraction=fraction, seed=seed)}


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_about_the_asked_share_is_held_out(fraction):
    assert len(held_out(20_000, fraction)) == pytest.approx(20_000 * fraction, rel=0.1)


def test_nothing_is_held_out_when_nothing_is_asked():
    assert not held_out(1000, 0.0)


def test_a_row_stays_on_its_side_when_rows_are_added_or_the_share_grows():
    assert held_out(100, 0.2) == {row for row in held_out(1000, 0.2) if row < 100}
    assert held_out(1000, 0.1) < held_out(1000, 0.3)


def test_the_split_is_the_same_on_every_machine_and_another_for_another_seed():
    assert sorted(held_out(60, 0.1)) == FIRST_OF_17
    assert held_out(1000, 0.1, seed=1) != held_out(1000, 0.1, seed=2)
