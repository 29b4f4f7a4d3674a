"""Requests in a minute and tokens in a day, for each key."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fettle.errors import QuotaExceeded
from fettle.services.platform import Platform
from fettle.services.quotas import Quotas
from fettle.store.usage import KeyUsage
from fettle.types.access import ROLES, KeySpec, Principal

EVENING = datetime(2026, 11, 21, 23, 59, 30, tzinfo=UTC)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.moment = EVENING

    def seconds(self) -> float:
        return (self.moment - EVENING).total_seconds()

    def now(self) -> datetime:
        return self.moment

    def later(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def usage(platform: Platform) -> KeyUsage:
    return KeyUsage(platform._database)


@pytest.fixture
def quotas(usage: KeyUsage, clock: Clock) -> Iterator[Quotas]:
    made = Quotas(usage, clock.seconds, clock.now)
    yield made
    made.close()


@pytest.fixture
def bob(platform: Platform) -> Principal:
    key, _ = platform.keys.create(KeySpec(name="bob", tokens_per_day=10))
    return Principal(
        project_id="default", role="user", key_id=key.id, permissions=ROLES["user"], tokens_per_day=10
    )  # fmt: skip


def test_a_request_too_many_waits_until_the_first_is_a_minute_old(quotas: Quotas, clock: Clock) -> None:
    for _ in range(2):
        quotas.take_request("k", 2)
        clock.later(10)
    for wait in (40, 1):
        with pytest.raises(QuotaExceeded, match="2 requests in a minute") as caught:
            quotas.take_request("k", 2)
        assert caught.value.retry_after_seconds == wait
        clock.later(39.5)
    quotas.take_request("another", 2)
    # What was refused did not count.
    quotas.take_request("k", 2)


def test_tokens_come_back_at_midnight(quotas: Quotas, clock: Clock, bob: Principal) -> None:
    quotas.spend(bob.key_id, 9)
    quotas.check_tokens(bob)
    quotas.spend(bob.key_id, 3)
    with pytest.raises(QuotaExceeded, match="10 tokens in a day, and has used 12") as caught:
        quotas.check_tokens(bob)
    assert caught.value.retry_after_seconds == 30
    quotas.close()
    clock.later(30)
    quotas.check_tokens(bob)


def test_tokens_outlive_the_process(quotas: Quotas, usage: KeyUsage, clock: Clock, bob: Principal) -> None:
    quotas.spend(bob.key_id, 6)
    quotas.spend(bob.key_id, 4)
    quotas.close()
    assert usage.of(bob.key_id, EVENING.date()) == 10
    with pytest.raises(QuotaExceeded):
        Quotas(usage, clock.seconds, clock.now).check_tokens(bob)


def test_tokens_that_cannot_be_written_down_still_count(
    quotas: Quotas, platform: Platform, clock: Clock, bob: Principal
) -> None:
    with platform._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE key_usage RENAME TO away")
    quotas.spend(bob.key_id, 10)
    quotas.close()
    with platform._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO key_usage")
    with pytest.raises(QuotaExceeded, match="has used 10"):
        quotas.check_tokens(bob)


def test_a_key_without_a_quota_is_never_refused(quotas: Quotas, bob: Principal) -> None:
    quotas.spend(bob.key_id, 10**9)
    quotas.check_tokens(bob.model_copy(update={"tokens_per_day": None}))
