"""The sampler against plain formulas, one row at a time."""

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fettle.serving.detokenize import Detokenizer, StopFinder
from fettle.serving.prefixes import PrefixKeys
from fettle.serving.sampler import NO_TOKEN, Sampler, change_logits, draw, kept
from fettle.serving.sequence import Sequence
from fettle.types.generation import SamplingParams

SIZE = 12


def sequence(made=(), prompt=(1, 2), seed=0, end_ids=frozenset({4}), **sampling):
    return Sequence(
        request_id="r",
        index=0,
        tokens=[*prompt, *made],
        num_prompt=len(prompt),
        max_length=100,
        sampling=SamplingParams(**sampling),
        end_ids=end_ids,
        random=Random(seed),
        detokenizer=Detokenizer(None),
        stops=StopFinder(()),
        prefix=PrefixKeys(scope="", adapter=0, num_virtual=0, block_size=16),
    )


def logits(seed, rows=1):
    return 2 * torch.randn(rows, SIZE, generator=torch.Generator().manual_seed(seed))


def allowed(row, params):
    """The plain reference: rank, cut, rank again."""
    order = sorted(range(SIZE), key=lambda token: -float(row[token]))[: params.top_k or SIZE]
    weights = torch.softmax(row[order].double(), 0).tolist()
    before, stays = 0.0, []
    for token, weight in zip(order, weights, strict=True):
        if before < params.top_p or not stays:
            stays.append(token)
        before += weight
    best = max(float(row[token]) for token in order)
    return {token for token in stays if torch.exp(row[token] - best) >= params.min_p}


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    top_k=st.integers(0, SIZE + 3),
    top_p=st.floats(0.05, 1.0),
    min_p=st.one_of(st.just(0.0), st.floats(0.01, 0.9)),
)
def test_what_is_kept_is_what_the_plain_formulas_keep(seed, top_k, top_p, min_p):
    params = SamplingParams(top_k=top_k, top_p=top_p, min_p=min_p)
    rows = logits(seed, rows=2)
    found = kept(rows, [params, SamplingParams()])
    assert set(found[0].isfinite().nonzero().flatten().tolist()) == allowed(rows[0], params)
    assert torch.equal(found[1], rows[1])


def test_tokens_are_drawn_as_often_as_their_probability_says():
    row, one = logits(3), sequence(temperature=0.7, seed=11)
    counts = torch.zeros(SIZE)
    draws = 4000
    for _ in range(draws):
        counts[draw(row, [one])] += 1
    expected = torch.softmax(row[0] / 0.7, 0)
    # Four standard deviations of a binomial share.
    assert ((counts / draws - expected).abs() < 4 * (expected * (1 - expected) / draws).sqrt() + 1e-3).all()


def test_a_token_that_is_excluded_is_never_drawn():
    row, one = logits(5), sequence(top_k=2, seed=2)
    best = set(row[0].topk(2).indices.tolist())
    assert {int(draw(row, [one])) for _ in range(200)} == best


def test_a_draw_at_the_very_edge_is_a_token_with_probability():
    class Edge:
        def __init__(self, value):
            self.value = value

        def random(self):
            return self.value

    row = torch.full((1, SIZE), -torch.inf)
    row[0, 5] = row[0, 7] = 0.0
    for value, token in [(0.0, 5), (1 - 2**-53, 7)]:
        one = sequence()
        one.random = Edge(value)
        assert draw(row, [one]).tolist() == [token]


@given(repetition=st.floats(0.2, 3), presence=st.floats(-2, 2), frequency=st.floats(-2, 2), bias=st.floats(-5, 5))
def test_penalties_are_those_of_the_formulas(repetition, presence, frequency, bias):
    one = sequence(
        made=(3, 3, 5),
        repetition_penalty=repetition,
        presence_penalty=presence,
        frequency_penalty=frequency,
        logit_bias={7: bias},
    )
    row = logits(9)[0]
    expected = row.tolist()
    for token in {1, 2, 3, 5}:
        expected[token] = expected[token] / repetition if expected[token] > 0 else expected[token] * repetition
    for token, count in {3: 2, 5: 1}.items():
        expected[token] -= presence + frequency * count
    expected[7] += bias
    change_logits(row, one)
    assert row.tolist() == pytest.approx(expected, abs=1e-5)


def test_nothing_ends_before_its_least_number_of_tokens():
    row = torch.zeros(1, SIZE)
    row[0, 4] = 9
    early, late = sequence(made=(3,), min_tokens=2, temperature=0), sequence(made=(3, 3), min_tokens=2, temperature=0)
    assert Sampler().choose(row.repeat(2, 1), [early, late])[1] == 4
    assert Sampler().choose(row, [early]) != [4]


def test_a_batch_is_sampled_as_its_rows_are_alone():
    rows = logits(1, rows=6)

    def ones():
        kinds = [{"temperature": 0}, {}, {"top_p": 0.5}, {"top_k": 3, "temperature": 2.0}, {"min_p": 0.3}]
        return [sequence(seed=place, **kind) for place, kind in enumerate([*kinds, {"frequency_penalty": 1.0}])]

    together = Sampler().choose(rows, ones())
    assert together == [Sampler().choose(rows[r : r + 1], [one])[0] for r, one in enumerate(ones())]
    assert together[0] == int(rows[0].argmax())


def test_logits_that_are_not_numbers_give_no_token_and_leave_the_others_alone():
    rows = logits(1, rows=3)
    rows[1, 3] = torch.nan
    found = Sampler().choose(rows, [sequence(temperature=t) for t in (0, 0, 1)])
    assert found[1] == NO_TOKEN
    assert NO_TOKEN not in (found[0], found[2])


def test_sampling_does_not_change_the_logits_that_are_scored_afterwards():
    rows = logits(1)
    before = rows.clone()
    Sampler().choose(rows, [sequence(made=(3,), repetition_penalty=2.0, logit_bias={5: 9.0})])
    assert torch.equal(rows, before)
