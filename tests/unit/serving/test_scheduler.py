"""Who is served when."""

import pytest

from fettle.errors import InvalidInput
from fettle.serving import EngineSettings
from tests.unit.serving.conftest import ask, run


def order_of_first_tokens(engine):
    order = []
    while engine.has_work:
        for chunk in engine.step():
            if chunk.completion_tokens == 1:
                order.append(chunk.request_id)
    return order


def test_those_who_came_first_are_served_first_though_they_ask_for_more(engine_with):
    engine = engine_with(max_sequences=2, max_batch_tokens=8)
    for place, length in enumerate([60, 2, 2, 30, 2]):
        engine.add(str(place), ask([9] * length, max_tokens=30))

    admitted = []
    while engine.has_work:
        engine.step()
        admitted += [s.request_id for s in engine._scheduler.running if s.request_id not in admitted]

    assert admitted == ["0", "1", "2", "3", "4"]


def test_nobody_who_answers_waits_for_anothers_long_prompt(engine_with):
    engine = engine_with(max_batch_tokens=8)
    engine.add("short", ask([1, 2], max_tokens=10))
    engine.step()
    engine.add("long", ask([9] * 60, max_tokens=2))

    steps = [engine.step() for _ in range(5)]

    assert all([chunk.request_id for chunk in chunks] == ["short"] for chunks in steps)
    assert {key[0] for key in run(engine)} == {"short", "long"}


def test_no_step_computes_more_tokens_than_allowed(engine_with):
    engine = engine_with(max_batch_tokens=8)
    for place in range(12):
        engine.add(str(place), ask([9] * (3 + 5 * place % 17), max_tokens=6))
    while engine._scheduler.has_work:
        pieces = engine._scheduler.schedule()
        assert 0 < sum(piece.count for piece in pieces) <= 8
        assert len({piece.sequence.request_id for piece in pieces}) == len(pieces)
        for output in engine._outputs(pieces, []):
            engine._advance(output)


def test_the_newest_gives_way_and_comes_back_before_all_who_wait(engine_with):
    engine = engine_with(num_blocks=8, max_sequences=3)
    for token, name in enumerate(("old", "new", "waits")):
        engine.add(name, ask([token] * 10, max_tokens=20))

    assert order_of_first_tokens(engine) == ["old", "new", "waits"]
    assert engine.stats()["preemptions"] > 0
    assert engine.stats()["blocks_free"] == 8


def test_requests_wait_while_the_adapters_in_use_leave_no_room(engine_with):
    engine = engine_with(adapter_bytes=1)
    for name in ("wide", "narrow", "vectors"):
        engine.add(name, ask([3, 4]), adapter=name)

    while engine.has_work:
        engine.step()
        assert engine.stats()["adapters_resident"] <= 1
        assert len({s.adapter for s in engine._scheduler.running}) <= 1

    assert engine.stats()["finished"] == 3


def test_a_removed_adapter_serves_those_who_use_it_to_their_end(engine, adapters, plain):
    engine.add("one", ask([3, 4]), adapter="wide")
    first = engine.step()
    engine.remove_adapter("wide")

    rest = run(engine)["one", 0]

    assert [t for c in [*first, *rest] for t in c.token_ids] == plain("wide").greedy([3, 4], 12)
    assert engine.stats()["adapters_resident"] == len(adapters) - 1


def test_a_replaced_adapter_serves_those_who_use_it_to_their_end(engine, adapters, plain):
    engine.add("before", ask([3, 4]), adapter="wide")
    first = engine.step()
    engine.add_adapter("wide", adapters["vectors"])
    engine.add("after", ask([3, 4]), adapter="wide")

    found = run(engine)

    assert [t for c in [*first, *found["before", 0]] for t in c.token_ids] == plain("wide").greedy([3, 4], 12)
    assert [t for c in found["after", 0] for t in c.token_ids] == plain("vectors").greedy([3, 4], 12)


def test_settings_that_would_starve_a_sequence_are_refused():
    with pytest.raises(InvalidInput, match="max_sequences 64 is above max_batch_tokens 8"):
        EngineSettings.checked({"max_batch_tokens": 8})
