"""When requests are sent: by clients that wait, and at random times."""

import asyncio
from itertools import accumulate, repeat
from math import inf
from random import Random
from time import perf_counter

import pytest

from fettle.loadtest.drive import closed_loop, drive, open_loop
from fettle.loadtest.spec import Load
from fettle.loadtest.workload import Ask

ASK = Ask("m", {})


def asks(num):
    return iter([ASK] * num)


class Sends:
    """A server that notes what runs at once."""

    def __init__(self):
        self.running = self.most = 0
        self.dues = []

    async def __call__(self, ask, due):
        self.dues.append(due)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1


@pytest.mark.parametrize(("concurrency", "num", "most"), [(1, 5, 1), (4, 40, 4), (8, 3, 3)])
def test_a_closed_loop_keeps_as_many_requests_running_as_it_has_clients(concurrency, num, most):
    sends = Sends()
    asyncio.run(closed_loop(concurrency, asks(num), sends))
    assert (len(sends.dues), sends.most, sends.running) == (num, most, 0)


def test_a_closed_loop_begins_nothing_when_its_time_is_over():
    endless, late = Sends(), Sends()
    asyncio.run(drive(Load(concurrency=2), repeat(ASK), endless, seconds=0.05, random=Random(0)))
    assert endless.dues
    asyncio.run(closed_loop(2, repeat(ASK), late, end=perf_counter()))
    assert late.dues == []


def test_an_open_loop_does_not_wait_for_answers():
    async def run():
        begun, all_begun = [], asyncio.Event()

        async def send(ask, due):
            begun.append(due)
            if len(begun) == 20:
                all_begun.set()
            # None of them would ever end if the next one waited for it.
            await all_begun.wait()

        async with asyncio.timeout(30):
            await open_loop(10_000, asks(20), send, end=inf, random=Random(0))
        return begun

    assert len(asyncio.run(run())) == 20


def test_the_times_of_an_open_loop_are_a_poisson_process_of_its_rate():
    sends = Sends()
    asyncio.run(drive(Load(rate=2000), asks(400), sends, seconds=None, random=Random(5)))
    random = Random(5)
    expected = list(accumulate(random.expovariate(2000) for _ in range(400)))
    assert [due - sends.dues[0] for due in sends.dues] == pytest.approx(
        [one - expected[0] for one in expected], abs=1e-6
    )


def test_an_open_loop_sends_nothing_that_is_due_after_its_time():
    sends, random = Sends(), Random(1)
    asyncio.run(drive(Load(rate=1000), repeat(ASK), sends, seconds=0.1, random=Random(1)))
    within = [due for due in accumulate(random.expovariate(1000) for _ in range(1000)) if due < 0.1]
    assert 0 < len(sends.dues) <= len(within)
    assert sends.dues[-1] - sends.dues[0] < 0.1
