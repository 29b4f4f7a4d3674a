"""Unit-hours are exact: what was held, times how long, to the microsecond."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from fettle.services.unit_hours import unit_hours, unit_time

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_units_that_change_in_a_day_are_counted_each_for_its_time() -> None:
    changes = [(START, 2), (START + timedelta(hours=6), 5), (START + timedelta(hours=7, minutes=30), 0)]
    assert unit_hours(changes, START + timedelta(days=1)) == Decimal("19.5")
    assert unit_hours(changes, START + timedelta(hours=7)) == 17, "what comes later does not count"
    assert unit_hours(changes, START) == 0
    assert unit_hours([], START) == 0


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 50)), min_size=1, max_size=8), st.integers(0, 10**10))
def test_looking_in_between_changes_nothing(steps: list[tuple[int, int]], cut_microseconds: int) -> None:
    moment, changes = START, []
    for microseconds, units in steps:
        changes.append((moment, units))
        moment += timedelta(microseconds=microseconds)
    cut = min(START + timedelta(microseconds=cut_microseconds), moment)
    held = [units for at, units in changes if at <= cut][-1]
    later = [(cut, held), *(change for change in changes if change[0] > cut)]
    assert unit_time(changes, cut) + unit_time(later, moment) == unit_time(changes, moment)
