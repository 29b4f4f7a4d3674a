"""Whose turn it is: live before batch, and no model waits for all of another's requests."""

import random
from collections import Counter

import pytest

from fettle.types.generation import BATCH
from tests.unit.serving.conftest import ask, run, tokens


def patient(request):
    return request.model_copy(update={"priority": BATCH})


def prompt(number, size=6):
    """A prompt that shares its beginning with no other."""
    return [number % 250, number // 250] * (size // 2)


def step(engine, admitted):
    engine.step()
    admitted += [one.request_id for one in engine._scheduler.running if one.request_id not in admitted]


def test_a_single_request_does_not_wait_for_the_hundred_of_another_model(engine_with):
    engine, admitted = engine_with(max_sequences=2), []
    for place in range(100):
        engine.add(f"busy-{place}", ask(prompt(place)), adapter="wide")
    while len(admitted) < 6:
        step(engine, admitted)
    engine.add("single", ask(prompt(100)), adapter="vectors")
    while "single" not in admitted:
        step(engine, admitted)

    assert admitted[:7] == [*(f"busy-{place}" for place in range(6)), "single"]


@pytest.mark.parametrize("sizes", [(6, 6, 6), (6, 24, 12)])
def test_models_that_all_wait_get_the_same_number_of_tokens(sizes, engine_with):
    engine, models = engine_with(max_sequences=3), (None, "wide", "vectors")
    for model, size in zip(models, sizes, strict=True):
        for place in range(60):
            engine.add(f"{model}-{place}", ask(prompt(place, size), max_tokens=6), adapter=model)

    computed = Counter()
    while all(any(one.model == (model or "") for one in _waiting(engine)) for model in models):
        pieces = engine._scheduler.schedule()
        computed.update(dict.fromkeys(models, 0))
        for piece in pieces:
            computed[piece.sequence.model or None] += piece.count
        for output in engine._outputs(pieces, []):
            engine._advance(output)

    # Never further apart than what one request of each takes.
    assert max(computed.values()) - min(computed.values()) <= 2 * (max(sizes) + 6)
    assert min(computed.values()) > 5 * (max(sizes) + 6)


def _waiting(engine):
    lines = engine._scheduler._lines.values()
    return [one for line in lines for one in line.candidates()]


def test_a_model_that_comes_back_gets_no_more_than_its_share(engine_with):
    """What it did not ask for while others were served is not made up for."""
    engine, admitted = engine_with(max_sequences=1), []
    engine.add("early", ask(prompt(200)), adapter="vectors")
    for place in range(20):
        engine.add(f"busy-{place}", ask(prompt(place)), adapter="wide")
    while len(admitted) < 12:
        step(engine, admitted)
    for place in range(4):
        engine.add(f"back-{place}", ask(prompt(100 + place)), adapter="vectors")
    while len(admitted) < 18:
        step(engine, admitted)

    assert [name.partition("-")[0] for name in admitted[12:]] == ["back", "busy", "back", "busy", "back", "busy"]


def test_live_requests_are_admitted_before_those_of_batches(engine_with):
    engine, admitted = engine_with(max_sequences=1), []
    for place in range(3):
        engine.add(f"batch-{place}", patient(ask(prompt(place))), adapter="wide")
        engine.add(f"live-{place}", ask(prompt(50 + place)), adapter="wide")
    while engine.has_work:
        step(engine, admitted)

    assert admitted == ["live-0", "live-1", "live-2", "batch-0", "batch-1", "batch-2"]


@pytest.mark.parametrize("room", [{"num_blocks": 10}, {"max_sequences": 2}])
def test_batch_work_gives_way_at_once_and_loses_nothing(room, engine_with, plain):
    engine = engine_with(**room, max_batch_tokens=32)
    for place in range(2):
        engine.add(f"batch-{place}", patient(ask(prompt(place), max_tokens=14)), adapter="prompt")
    first = [chunk for _ in range(3) for chunk in engine.step()]
    engine.add("live", ask(prompt(9, 12)), adapter="wide")

    chunks = engine.step()
    assert "live" in {chunk.request_id for chunk in chunks}
    assert engine.stats()["preemptions"] == 1
    found = run(engine)

    made = {name: [c for c in [*first, *chunks, *found[name, 0]] if c.request_id == name] for name, _ in found}
    assert tokens(made["live"]) == plain("wide").greedy(prompt(9, 12), 12)
    for place in range(2):
        assert tokens(made[f"batch-{place}"]) == plain("prompt").greedy(prompt(place), 14)
    assert engine.stats()["blocks_free"] == engine.stats()["blocks"]


def test_batch_work_gives_way_when_a_live_answer_grows(engine_with):
    """Though the batch's request was admitted first."""
    engine, has_begun = engine_with(num_blocks=10, max_sequences=2), False
    engine.add("batch", patient(ask(prompt(1), max_tokens=24)))
    engine.step()
    engine.add("live", ask(prompt(2), max_tokens=24))

    while ("live", 0) in engine._open:
        engine.step()
        is_running = "live" in {one.request_id for one in engine._scheduler.running}
        assert is_running or not has_begun or ("live", 0) not in engine._open
        has_begun |= is_running

    assert engine.stats()["preemptions"] == 1
    assert run(engine)["batch", 0][-1].completion_tokens == 24


def test_a_batchs_long_prompt_does_not_hold_up_a_live_one(engine_with):
    engine = engine_with(max_batch_tokens=8)
    engine.add("batch", patient(ask(prompt(1, 80))))
    engine.step()
    engine.add("live", ask(prompt(2)))

    assert [chunk.request_id for chunk in engine.step()] == ["live"]


def test_batch_work_that_gave_way_does_not_keep_a_live_requests_adapter_out(engine_with):
    """Given adapters of which only one is in memory at a time, and its user gives way while it holds it."""
    engine = engine_with(adapter_bytes=1, max_sequences=1)
    engine.add("batch", patient(ask(prompt(1))), adapter="wide")
    engine.step()
    engine.add("live", ask(prompt(2)))
    engine.step()
    assert [one.request_id for one in engine._scheduler.running] == ["live"]
    engine.add("other", ask(prompt(3)), adapter="vectors")

    # Not until there is no work: if they wait for each other, there always is.
    chunks = [chunk for _ in range(100) for chunk in engine.step()]

    assert {chunk.request_id for chunk in chunks if chunk.finish_reason == "length"} == {"batch", "live", "other"}
    assert not engine.has_work


@pytest.mark.parametrize("seed", range(3))
def test_everyone_is_served_whatever_comes(seed, engine_with):
    """Requests, aborts and new versions at random, with room for one adapter: nobody hangs and nothing stays held."""
    engine, draw = engine_with(num_blocks=16, adapter_bytes=1, max_sequences=4), random.Random(seed)
    open_requests, ended = set(), set()

    def note(chunks):
        ended.update(chunk.request_id for chunk in chunks if chunk.finish_reason)

    for place in range(60):
        request = ask(prompt(place % 7, draw.choice([2, 8, 20])), max_tokens=draw.randrange(1, 12))
        name = draw.choice([None, "wide", "narrow", "prefix"])
        engine.add(str(place), patient(request) if draw.random() < 0.4 else request, adapter=name)
        open_requests.add(str(place))
        if draw.random() < 0.1:
            gone = draw.choice(sorted(open_requests))
            engine.abort(gone)
            open_requests.discard(gone)
        for _ in range(draw.randrange(0, 4)):
            note(engine.step())
    for _ in range(2000):
        if not engine.has_work:
            break
        note(engine.step())

    assert not engine.has_work
    assert open_requests <= ended
    stats = engine.stats()
    assert (stats["blocks_free"], stats["running"], stats["waiting"], stats["failed"]) == (16, 0, 0, 0)
    assert not any(adapter.num_users for adapter in engine._adapters._resident)
