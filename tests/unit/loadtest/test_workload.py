"""Distributions, requests that are drawn, and prompts from files."""

import json
from collections import Counter
from itertools import islice
from random import Random
from statistics import mean

import pytest

from fettle.errors import InvalidInput, InvalidRows, NotFound
from fettle.loadtest.distributions import length_draw, place_draw
from fettle.loadtest.spec import Load, LoadSpec
from fettle.loadtest.workload import Prompt, read_prompts, workload

URL = "http://127.0.0.1:1/v1"


def spec(**values):
    return LoadSpec.checked({"url": URL, "models": ["a", "b"], **values})


def some(spec, num=200, prompts=(), part=0):
    return list(islice(workload(spec, prompts, part=part), num))


def words_of(ask):
    return ask.body["messages"][0]["content"].split()


def drawn(draw, num=20_000):
    random = Random(3)
    return [draw(random) for _ in range(num)]


def test_lengths_are_distributed_as_their_form_says():
    assert set(drawn(length_draw("fixed:7"), 50)) == {7}
    counts = Counter(drawn(length_draw("uniform:3,5")))
    assert set(counts) == {3, 4, 5}
    assert all(count == pytest.approx(20_000 / 3, rel=0.1) for count in counts.values())
    lengths = drawn(length_draw("lognormal:100,0.8"))
    assert mean(lengths) == pytest.approx(100, rel=0.05)
    # The median of a lognormal is exp(mu): below its mean by exp(sigma^2 / 2).
    assert sorted(lengths)[10_000] == pytest.approx(100 * 2.718281828 ** -(0.8**2 / 2), rel=0.05)
    assert min(drawn(length_draw("lognormal:1,3"))) == 1


def test_popularity_falls_with_the_place_as_zipf_says():
    counts = Counter(drawn(place_draw("zipf:1", 3)))
    # 1, 1/2 and 1/3 of 11/6
    assert [counts[place] / 20_000 for place in range(3)] == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.02)
    counts = Counter(drawn(place_draw("uniform", 4)))
    assert [counts[place] / 20_000 for place in range(4)] == pytest.approx([1 / 4] * 4, abs=0.02)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fixed",
        "fixed:",
        "fixed:0",
        "fixed:2.5",
        "fixed:1,2",
        "uniform:5,3",
        "uniform:1,2.5",
        "uniform:1,inf",
        "lognormal:9,-1",
        "fixed:x",
        "fixed:nan",
    ],
)
def test_what_is_no_distribution_is_refused(text):
    with pytest.raises(ValueError):
        length_draw(text)


def test_a_seed_repeats_everything_and_another_changes_it():
    drawn = spec(prompt_length="uniform:5,50", output_length="lognormal:20,1")
    assert some(drawn) == some(drawn)
    assert some(drawn) != some(spec(prompt_length="uniform:5,50", output_length="lognormal:20,1", seed=1))


def test_parts_of_a_test_have_the_same_models_and_lengths_but_other_words():
    drawn = spec(prompt_length="uniform:5,50", output_length="uniform:1,9", popularity="zipf:1.2")
    first, second = some(drawn, part=0), some(drawn, part=1)
    assert [ask.model for ask in first] == [ask.model for ask in second]
    assert [ask.body["max_tokens"] for ask in first] == [ask.body["max_tokens"] for ask in second]
    assert [len(words_of(ask)) for ask in first] == [len(words_of(ask)) for ask in second]
    assert not any(words_of(one) == words_of(other) for one, other in zip(first, second, strict=True))


def test_the_body_asks_for_what_the_spec_says():
    (streamed,) = some(spec(prompt_length="fixed:3", output_length="fixed:9", ignores_eos=True), 1)
    assert len(words_of(streamed)) == 3
    assert streamed.body["model"] == streamed.model
    assert (streamed.body["max_tokens"], streamed.body["ignore_eos"], streamed.body["stream"]) == (9, True, True)
    assert streamed.body["stream_options"] == {"include_usage": True}
    (whole,) = some(spec(streams=False), 1)
    assert not {"stream", "stream_options", "ignore_eos"} & whole.body.keys()


def test_prompts_of_a_file_are_asked_in_turn(tmp_path):
    path = tmp_path / "prompts.jsonl"
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    path.write_text(json.dumps({"prompt": "one", "max_tokens": 3}) + "\n\n" + json.dumps({"messages": turns}) + "\n")
    prompts = read_prompts(path)
    assert prompts == [Prompt([{"role": "user", "content": "one"}], 3), Prompt(turns)]
    asked = some(spec(prompts=str(path), output_length="fixed:5"), 4, prompts)
    assert [ask.body["messages"] for ask in asked] == [prompts[0].messages, turns] * 2
    assert [ask.body["max_tokens"] for ask in asked] == [3, 5, 3, 5]


def test_every_bad_row_of_a_file_of_prompts_is_named(tmp_path):
    path = tmp_path / "prompts.jsonl"
    rows = [
        '{"prompt": ""}',
        '{"prompt": "fine"}',
        "nonsense",
        '{"messages": [1]}',
        "3",
        '{"max_tokens": 0, "promt": "x"}',
    ]
    path.write_text("\n".join(rows))
    with pytest.raises(InvalidRows) as caught:
        read_prompts(path)
    told = str(caught.value)
    assert "5 of 6 rows" in told
    for part in ("line 1: `prompt`", "line 3:", "line 4: `messages`", "line 5:", "line 6: unknown field `promt`"):
        assert part in told
    assert "line 6: `max_tokens`" in told
    with pytest.raises(NotFound):
        read_prompts(tmp_path / "none.jsonl")


def test_all_faults_of_a_spec_are_told_at_once():
    bad = {"url": "localhost:8000", "models": [], "popularity": "zipf", "concurrency": "0,x", "rate": "-1"}
    bad |= {"prompt_length": "fixd:3", "requests": 0, "duration_seconds": -1, "slo_ttft_seconds": 0}
    with pytest.raises(InvalidInput) as caught:
        LoadSpec.checked(bad)
    told = str(caught.value)
    for name in ("url", "models", "popularity", "concurrency.0", "concurrency.1", "rate.0", "prompt_length"):
        assert f"'{name}'" in told
    for name in ("requests", "duration_seconds", "slo_ttft_seconds"):
        assert f"'{name}'" in told
    assert "fixed:N, uniform:LOW,HIGH or lognormal:MEAN,SIGMA" in told


@pytest.mark.parametrize(
    "values",
    [
        {"streams": False, "slo_itl_seconds": 0.1},
        {"prompts": "p.jsonl", "prompt_length": "fixed:3"},
        {"url": "http://user:secret@host/v1"},
        {"url": "ftp://host/v1"},
    ],
)
def test_settings_that_cannot_be_followed_are_refused(values):
    with pytest.raises(InvalidInput):
        spec(**values)


def test_loads_are_tried_in_the_order_given_and_there_is_always_one():
    assert spec(concurrency="4,1", rate="2.5").loads == [Load(concurrency=4), Load(concurrency=1), Load(rate=2.5)]
    assert spec(rate="3").loads == [Load(rate=3)]
    assert len(spec().loads) == 1
    assert spec().num_requests
    assert spec(duration_seconds=1).num_requests is None
    assert spec(duration_seconds=1, requests=5).num_requests == 5
