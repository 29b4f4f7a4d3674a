"""What was computed before is not computed again, and nobody can tell from the answers."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fettle.serving.prefixes import PrefixKeys
from fettle.types.generation import BATCH
from tests.unit.serving.conftest import answer, ask, run, tokens

PROMPT = list(range(10, 31))
NAMES = [None, "wide", "vectors", "prompt", "prefix"]


def cached(chunks):
    (count,) = {chunk.cached_tokens for chunk in chunks}
    return count


def scoped(request, scope):
    return request.model_copy(update={"scope": scope})


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_that_was_asked_before_skips_its_full_blocks(name, engine, plain):
    first = answer(engine, ask(PROMPT), name)
    again = answer(engine, ask(PROMPT), name)
    longer = answer(engine, ask(PROMPT + tokens(first) + [3]), name)

    virtual = {"prompt": 5, "prefix": 9}.get(name, 0)
    assert cached(first) == 0
    # The last token is computed in any case: the next one is chosen after it.
    assert cached(again) == (virtual + len(PROMPT) - 1) // 4 * 4 - virtual
    # The answer's last token was never given to the model.
    assert cached(longer) == (virtual + len(PROMPT) + 11) // 4 * 4 - virtual
    assert tokens(first) == tokens(again) == plain(name).greedy(PROMPT, 12)
    assert tokens(longer) == plain(name).greedy(PROMPT + tokens(first) + [3], 12)


def test_blocks_are_shared_only_under_the_same_adapter_and_scope(engine, adapters, plain):
    warm = {name: tokens(answer(engine, ask(PROMPT), name)) for name in NAMES}
    assert warm == {name: plain(name).greedy(PROMPT, 12) for name in NAMES}

    assert cached(answer(engine, scoped(ask(PROMPT), "another"))) == 0
    assert cached(answer(engine, scoped(ask(PROMPT), "another"))) == 20
    engine.add_adapter("wide", adapters["vectors"])
    replaced = answer(engine, ask(PROMPT), "wide")
    assert (cached(replaced), tokens(replaced)) == (0, warm["vectors"])


def test_choices_of_one_prompt_compute_its_full_blocks_once(engine_with, plain):
    engine = engine_with(max_batch_tokens=64)
    for index in range(4):
        engine.add("many", ask(PROMPT), adapter="wide", index=index)

    pieces = engine._scheduler.schedule()
    assert [(piece.start, piece.count) for piece in pieces] == [(0, 21), (20, 1), (20, 1), (20, 1)]
    for output in engine._outputs(pieces, []):
        engine._advance(output)
    found = run(engine)

    assert [cached(found["many", index]) for index in range(4)] == [0, 20, 20, 20]
    expected = plain("wide").greedy(PROMPT, 12)[1:]
    assert all(tokens(chunks) == expected for chunks in found.values())


def test_prompts_that_are_scored_are_computed_whole(engine):
    asked = ask(PROMPT, prompt_logprobs=True)
    first, again = (answer(engine, asked) for _ in range(2))

    assert cached(first) == cached(again) == 0
    scores = [[one.logprob for chunk in chunks for one in chunk.prompt_logprobs][1:] for chunks in (first, again)]
    assert scores[0] == scores[1]
    assert len(scores[0]) == len(PROMPT) - 1


def test_who_gave_way_finds_what_was_computed_for_it(engine_with):
    engine = engine_with(num_blocks=12, max_batch_tokens=64)
    engine.add("old", ask([9] * 20))
    engine.add("new", ask([8] * 12, max_tokens=20))

    begun = []
    while engine.has_work:
        pieces = engine._scheduler.schedule()
        begun += [piece for piece in pieces if piece.sequence.request_id == "new" and piece.count > 1]
        for output in engine._outputs(pieces, []):
            engine._advance(output)

    assert engine.stats()["preemptions"] == 1
    assert [piece.start for piece in begun] == [0, 16]


def test_who_shares_with_a_request_that_fails_is_computed_anew(engine, plain, monkeypatch):
    run_pieces = engine._runner.run

    def explode(pieces):
        if any(piece.sequence.request_id == "bad" for piece in pieces):
            raise ValueError("boom")
        return run_pieces(pieces)

    monkeypatch.setattr(engine._runner, "run", explode)
    monkeypatch.setattr(engine._scheduler, "_max_batch_tokens", 64)
    engine.add("bad", ask(PROMPT))
    for name in ("shares", "too"):
        engine.add(name, ask(PROMPT))

    found = run(engine)

    assert [chunk.finish_reason for chunk in found["bad", 0]] == ["abort"]
    for name in ("shares", "too"):
        assert tokens(found[name, 0]) == plain(None).greedy(PROMPT, 12)
    assert engine.stats()["blocks_free"] == 64


def test_the_counters_say_how_much_was_found(engine):
    for _ in range(2):
        answer(engine, ask(PROMPT))
    stats = engine.stats()
    assert (stats["prompt_tokens"], stats["cached_tokens"]) == (42, 20)
    assert stats["blocks_kept"] == (len(PROMPT) + 11) // 4
    assert stats["blocks_free"] == 64


def some_requests(seed):
    """Prompts with common beginnings, some from the answer of another, for all models."""
    draw = random.Random(seed)
    stems = [[draw.randrange(5, 200) for _ in range(size)] for size in (7, 16, 25)]
    for place in range(24):
        stem = draw.choice(stems)
        prompt = stem[: draw.randrange(1, len(stem) + 1)] + [draw.randrange(5, 200)] * draw.randrange(0, 9)
        yield str(place), draw.choice(NAMES), prompt, draw.randrange(1, 16), draw.choice([0, BATCH])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_blocks", [14, 22, 64])
def test_warm_answers_are_cold_answers_under_pressure(num_blocks, seed, engine_with, plain):
    engine, draw = engine_with(num_blocks=num_blocks), random.Random(seed)
    asked = list(some_requests(seed))
    found = {}

    def steps(count):
        for chunk in [chunk for _ in range(count) for chunk in engine.step()]:
            assert not chunk.error
            found.setdefault(chunk.request_id, []).append(chunk)

    for name, adapter, prompt, count, priority in asked:
        request = ask(prompt, max_tokens=count).model_copy(update={"priority": priority})
        engine.add(name, request, adapter=adapter)
        if draw.random() < 0.2:
            engine.abort(name)
            engine.add(name, request, adapter=adapter)
        steps(draw.randrange(0, 3))
    while engine.has_work:
        steps(1)

    assert {name: tokens(found[name]) for name, *_ in asked} == {
        name: plain(adapter).greedy(prompt, count) for name, adapter, prompt, count, _ in asked
    }
    stats = engine.stats()
    assert stats["cached_tokens"] > 0
    assert stats["blocks_free"] == num_blocks
    assert num_blocks == 64 or stats["preemptions"] > 0


def keys(tokens, count, *, scope="", adapter=0, num_virtual=0):
    return PrefixKeys(scope=scope, adapter=adapter, num_virtual=num_virtual, block_size=4).of(tokens, count)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.integers(0, 2), min_size=12, max_size=12), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_keys_are_equal_exactly_as_far_as_the_tokens_are(one, other):
    same = [one[: 4 * n] == other[: 4 * n] for n in (1, 2, 3)]
    assert [a == b for a, b in zip(keys(one, 3), keys(other, 3), strict=True)] == same


def test_keys_differ_by_all_that_blocks_depend_on():
    tokens = list(range(40))
    made = [keys(tokens, 3), keys(tokens, 3, scope="a"), keys(tokens, 3, adapter=1), keys(tokens, 3, num_virtual=2)]
    made.append(keys(tokens, 3, adapter=1, scope="a"))
    made.append(keys([], 3, adapter=7, num_virtual=12))
    assert len({key for one in made for key in one}) == 3 * len(made)
