"""What the engine answers is what the plain model answers, however requests are mixed."""

import json

import pytest
import torch

from fettle.adapters.files import load_adapter
from fettle.errors import Conflict, InvalidInput, NotFound, UnsupportedModel
from fettle.models.int8 import has_int8_products
from fettle.models.tokenizer import Tokenizer
from fettle.serving import attention
from fettle.testing.models import tiny_adapter, tiny_model
from tests.unit.serving.conftest import Plain, answer, ask, run, text, tokens

NAMES = [None, "wide", "narrow", "vectors", "prompt", "prefix", "wide", None, "vectors", "prompt"]
PROMPTS = [
    [7, 8, 9],
    list(range(10, 50)),
    [100],
    list(range(60, 77)),
    list(range(40, 62)),
    [11],
    [5, 6],
    list(range(30, 70)),
    [9] * 21,
    [7, 8],
]
needs_int8 = pytest.mark.skipif(not has_int8_products(), reason="this processor has no products of 8-bit numbers")


def everything(engine, count=12, **sampling):
    """All prompts, two more in each step, so that prompts and answers meet in one batch."""
    chunks = {}
    for place, (name, prompt) in enumerate(zip(NAMES, PROMPTS, strict=True)):
        engine.add(str(place), ask(prompt, max_tokens=count, **sampling), adapter=name)
        if place % 2:
            for chunk in engine.step():
                chunks.setdefault((chunk.request_id, chunk.index), []).append(chunk)
    for key, more in run(engine).items():
        chunks.setdefault(key, []).extend(more)
    return [chunks[str(place), 0] for place in range(len(PROMPTS))]


@pytest.mark.parametrize("is_large", [False, True])
def test_a_mixed_batch_gives_the_tokens_of_a_full_recompute(engine, plain, is_large, monkeypatch):
    monkeypatch.setattr(attention, "is_compiled", lambda config: is_large)

    found = [tokens(chunks) for chunks in everything(engine)]

    assert found == [plain(name).greedy(prompt, 12) for name, prompt in zip(NAMES, PROMPTS, strict=True)]
    assert len({tuple(answered) for answered in found}) == len(PROMPTS)


@pytest.mark.parametrize("weights", ["dtype", "int4", pytest.param("int8", marks=needs_int8)])
def test_a_mixed_batch_gives_the_tokens_of_each_request_alone(weights, engine_with):
    together = [tokens(chunks) for chunks in everything(engine_with(weights=weights))]

    alone = engine_with(max_batch_tokens=512, weights=weights)
    for name, prompt, found in zip(NAMES, PROMPTS, together, strict=True):
        assert tokens(answer(alone, ask(prompt), name)) == found


def test_sequences_that_give_way_for_others_lose_nothing(engine_with, plain):
    engine = engine_with(num_blocks=20)

    found = [tokens(chunks) for chunks in everything(engine, count=20)]

    assert engine.stats()["preemptions"] > 0
    assert found == [plain(name).greedy(prompt, 20) for name, prompt in zip(NAMES, PROMPTS, strict=True)]
    assert engine.stats()["blocks_free"] == 20


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("mistral", {"sliding_window": 6}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}),
        ("qwen3", {"tie_word_embeddings": True}),
        ("llama", {"num_key_value_heads": 4, "attention_bias": True}),
    ],
)
def test_every_family_answers_as_the_plain_model(family, sizes, tmp_path, engine_with):
    folder = tiny_model(tmp_path / "model", family, **sizes)
    kinds = {"lora": {"rank": 3}, "prefix": {"num_virtual_tokens": 5}}
    names, models, engine = [None, *kinds], [Plain(folder)], engine_with(folder)
    for kind, settings in kinds.items():
        place = tiny_adapter(tmp_path / kind, kind, folder, 4, **settings)
        engine.add_adapter(kind, place)
        models.append(Plain(folder, load_adapter(place)))
    for place, prompt in enumerate(PROMPTS):
        engine.add(str(place), ask(prompt), adapter=names[place % 3])

    found = run(engine)

    expected = [models[place % 3].greedy(prompt, 12) for place, prompt in enumerate(PROMPTS)]
    assert [tokens(found[str(place), 0]) for place in range(len(PROMPTS))] == expected


def test_a_seeded_answer_does_not_depend_on_the_batch(engine, engine_with):
    seeded = {"temperature": 1.0, "top_p": 0.9, "top_k": 40, "seed": 5}
    together = [tokens(chunks) for chunks in everything(engine, **seeded)]

    alone = engine_with(max_batch_tokens=512)
    for name, prompt, found in zip(NAMES, PROMPTS, together, strict=True):
        assert tokens(answer(alone, ask(prompt, **seeded), name)) == found


def test_a_seeded_answer_survives_giving_way(engine, engine_with):
    seeded = {"temperature": 1.0, "seed": 5, "count": 20}
    tight = engine_with(num_blocks=20)
    assert [tokens(c) for c in everything(tight, **seeded)] == [tokens(c) for c in everything(engine, **seeded)]
    assert tight.stats()["preemptions"] > 0


def test_choices_of_one_request_differ_and_each_is_repeatable(engine):
    request = ask([50, 51, 52], temperature=1.0, seed=3).model_copy(update={"num_choices": 4})

    (first,), (again,) = engine.generate([request]), engine.generate([request])

    assert [c.token_ids for c in first] == [c.token_ids for c in again]
    assert [c.index for c in first] == [0, 1, 2, 3]
    assert len({c.token_ids for c in first}) == 4


def test_an_unseeded_answer_is_new_each_time(engine):
    request = ask([50, 51, 52], temperature=1.0)
    assert len({tuple(tokens(answer(engine, request))) for _ in range(4)}) > 1


def test_the_text_is_that_of_the_tokens(engine, base):
    tokenizer = Tokenizer.load(base)
    for chunks in everything(engine, count=30):
        assert text(chunks) == tokenizer.decode(tokens(chunks))


def test_an_answer_ends_at_its_length_and_says_so(engine):
    chunks = answer(engine, ask([1, 2, 3], max_tokens=5))
    assert [chunk.finish_reason for chunk in chunks] == [None] * 4 + ["length"]
    assert [chunk.completion_tokens for chunk in chunks] == [1, 2, 3, 4, 5]
    assert {chunk.prompt_tokens for chunk in chunks} == {3}


def test_without_a_limit_an_answer_fills_the_context(tmp_path, engine_with):
    engine = engine_with(tiny_model(tmp_path, max_position_embeddings=30))
    chunks = answer(engine, ask([9] * 10, max_tokens=None))
    assert len(tokens(chunks)) == 20
    assert chunks[-1].finish_reason == "length"


def test_without_a_limit_an_answer_ends_when_the_cache_is_full(engine_with):
    engine = engine_with(num_blocks=6)
    chunks = answer(engine, ask([9] * 10, max_tokens=None))
    assert (len(tokens(chunks)), chunks[-1].finish_reason) == (14, "length")
    assert engine.stats()["blocks_free"] == 6


def end_token(engine, prompt):
    return tokens(answer(engine, ask(prompt)))[4]


def test_a_stop_token_ends_the_answer_and_is_not_in_its_text(engine, base):
    made = tokens(answer(engine, ask([7, 8])))
    end = made[4]
    chunks = answer(engine, ask([7, 8], stop_token_ids=(end,)))
    cut = made[: made.index(end) + 1]
    assert tokens(chunks) == cut
    assert chunks[-1].finish_reason == "stop"
    assert text(chunks) == Tokenizer.load(base).decode(cut[:-1])


def test_the_models_own_end_token_ends_the_answer_unless_ignored(tmp_path, engine_with, engine):
    made = tokens(answer(engine, ask([7, 8])))
    folder = tiny_model(tmp_path, eos_token_id=[made[3]])
    ending = engine_with(folder)

    short = answer(ending, ask([7, 8], ignore_eos=False))
    assert tokens(short) == made[: made.index(made[3]) + 1]
    assert short[-1].finish_reason == "stop"
    assert tokens(answer(ending, ask([7, 8]))) == made
    longer = tokens(answer(ending, ask([7, 8], ignore_eos=False, min_tokens=8)))
    assert len(longer) >= 8
    assert made[3] not in longer[:8]


def test_a_stop_string_ends_the_answer_before_it(engine):
    whole = text(answer(engine, ask([7, 8], max_tokens=40)))
    stop = whole[9:12]
    chunks = answer(engine, ask([7, 8], max_tokens=40, stop=(stop,)))
    assert text(chunks) == whole[: whole.index(stop)]
    assert chunks[-1].finish_reason == "stop"


def test_log_probabilities_are_those_of_the_plain_model(engine, plain):
    prompt = list(range(20, 60))
    made = tokens(answer(engine, ask(prompt, max_tokens=6), "wide"))

    # Penalties and temperature choose differently but do not change what the model thinks.
    asked = ask(prompt, max_tokens=6, logprobs=3, prompt_logprobs=True, temperature=0)
    chunks = answer(engine, asked, "wide")

    expected = plain("wide").logits(prompt + made).log_softmax(-1)
    told = [one for chunk in chunks for one in chunk.logprobs]
    for place, one in enumerate(told, start=len(prompt)):
        values, ids = expected[place - 1].topk(3)
        assert one.token_id == (prompt + made)[place]
        assert one.logprob == pytest.approx(float(expected[place - 1, one.token_id]), abs=1e-4)
        assert [token for token, _, _ in one.top] == ids.tolist()
        assert [value for _, _, value in one.top] == pytest.approx(values.tolist(), abs=1e-4)
    assert len(told) == 6
    scored = [one for chunk in chunks for one in chunk.prompt_logprobs]
    assert [one.token_id for one in scored] == prompt
    assert scored[0].logprob != scored[0].logprob
    expected_scores = [float(expected[place - 1, token]) for place, token in enumerate(prompt) if place]
    assert [one.logprob for one in scored[1:]] == pytest.approx(expected_scores, abs=1e-4)


def test_prompts_are_scored_once_though_their_sequences_give_way(engine_with):
    engine = engine_with(num_blocks=20)
    for chunks, prompt in zip(everything(engine, count=20, prompt_logprobs=True), PROMPTS, strict=True):
        assert [one.token_id for chunk in chunks for one in chunk.prompt_logprobs] == prompt
    assert engine.stats()["preemptions"] > 0


def test_an_aborted_request_is_silent_and_frees_all_its_choices(engine):
    for index in range(3):
        engine.add("gone", ask([9] * 30, max_tokens=20), index=index, adapter="wide")
    engine.add("stays", ask([3, 4]))
    for _ in range(4):
        engine.step()

    engine.abort("gone")

    assert {chunk.request_id for chunks in run(engine).values() for chunk in chunks} == {"stays"}
    assert engine.stats()["blocks_free"] == 64
    engine.abort("gone")


@pytest.mark.parametrize(
    ("prompt", "sampling", "words"),
    [
        ([], {}, "empty"),
        ([3, 5000, -1], {}, r"\[-1, 5000\] are not in the vocabulary"),
        ([3], {"logit_bias": {9999: 1.0}}, r"\[9999\]"),
        ([3] * 256, {}, "256 tokens"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_at_once(prompt, sampling, words, engine):
    with pytest.raises(InvalidInput, match=words):
        engine.add("bad", ask(prompt, **sampling))
    assert not engine.has_work


def test_a_prompt_that_the_cache_cannot_hold_is_refused(engine_with):
    with pytest.raises(InvalidInput, match="40 tokens"):
        engine_with(num_blocks=10).add("bad", ask([3] * 40))


@pytest.mark.parametrize(("name", "room"), [("prompt", 15), ("prefix", 11), ("wide", 20)])
def test_virtual_tokens_take_room_in_the_context_and_are_not_counted(name, room, engine_with):
    engine = engine_with(num_blocks=5)
    chunks = answer(engine, ask([9] * 4, max_tokens=None), name)
    assert len(tokens(chunks)) == room - 4
    assert (chunks[-1].finish_reason, chunks[-1].prompt_tokens) == ("length", 4)
    with pytest.raises(InvalidInput, match=f"the prompt has {room} tokens; prompt and answer together may have {room}"):
        engine.add("long", ask([9] * room), adapter=name)
    assert engine.stats()["blocks_free"] == 5


def test_an_unknown_adapter_and_a_repeated_id_are_refused(engine):
    with pytest.raises(NotFound, match="'wiide'"):
        engine.add("one", ask([3]), adapter="wiide")
    engine.add("one", ask([3]))
    with pytest.raises(Conflict):
        engine.add("one", ask([3]))


@pytest.mark.parametrize("damaged", ["wide", "prefix"])
def test_damaged_weights_end_only_the_requests_that_use_them(damaged, engine, base, adapters, tmp_path, plain):
    """What they leave in the cache does not reach those who get their blocks next, either."""
    broken = load_adapter(adapters[damaged])
    for value in broken.named_parameters().values():
        value.data.fill_(float("nan"))
    from fettle.adapters.files import save_adapter

    save_adapter(tmp_path / "broken", broken)
    engine.add_adapter("broken", tmp_path / "broken")
    engine.add("bad", ask([9] * 40), adapter="broken")
    engine.add("good", ask(PROMPTS[1]), adapter="wide")

    found = run(engine)

    assert [chunk.finish_reason for chunk in found["bad", 0]] == ["abort"]
    assert "not a number" in found["bad", 0][0].error
    assert tokens(found["good", 0]) == plain("wide").greedy(PROMPTS[1], 12)
    assert [tokens(chunks) for chunks in everything(engine)] == [
        plain(name).greedy(prompt, 12) for name, prompt in zip(NAMES, PROMPTS, strict=True)
    ]


def test_an_adapter_for_another_model_is_refused(engine, tmp_path):
    other = tiny_model(tmp_path / "other", num_hidden_layers=3, intermediate_size=48)
    with pytest.raises(UnsupportedModel, match=r"(?s)layers\.0\.mlp.*layers\.2"):
        engine.add_adapter("other", tiny_adapter(tmp_path / "adapter", "lora", other, 1, rank=2))
    with pytest.raises(NotFound):
        engine.add("one", ask([3]), adapter="other")


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_virtual_tokens_for_another_model_are_refused(kind, engine, tmp_path):
    other = tiny_model(tmp_path / "other", hidden_size=40)
    with pytest.raises(UnsupportedModel, match=r"virtual tokens: shapes .*, the model needs"):
        engine.add_adapter("other", tiny_adapter(tmp_path / "adapter", kind, other, 1))


def test_an_adapter_that_vanished_while_it_was_out_of_memory_fails_its_requests_only(engine_with, base, tmp_path):
    engine = engine_with(adapter_bytes=1)
    gone = tiny_adapter(tmp_path / "gone", "ia3", base, 8)
    engine.add_adapter("gone", gone)
    assert tokens(answer(engine, ask([4, 5]), "wide"))
    (gone / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    engine.add("bad", ask([3]), adapter="gone")
    engine.add("good", ask([3]))

    found = run(engine)

    assert (found["bad", 0][0].finish_reason, found["bad", 0][0].error_code) == ("abort", "unsupported_model")
    assert len(tokens(found["good", 0])) == 12


def test_a_step_that_fails_ends_only_the_guilty_request(engine, plain, monkeypatch):
    """Given a piece of work that no code expected, the others go on as if it had not been there."""
    run_pieces = engine._runner.run

    def explode(pieces):
        if any(piece.sequence.request_id == "bad" for piece in pieces):
            raise ValueError("boom")
        return run_pieces(pieces)

    monkeypatch.setattr(engine._runner, "run", explode)
    engine.add("good", ask(PROMPTS[1]), adapter="wide")
    engine.add("bad", ask([3]))
    engine.add("fine", ask(PROMPTS[0]))

    found = run(engine)

    assert [chunk.finish_reason for chunk in found["bad", 0]] == ["abort"]
    assert "boom" not in found["bad", 0][0].error
    assert tokens(found["good", 0]) == plain("wide").greedy(PROMPTS[1], 12)
    assert tokens(found["fine", 0]) == plain(None).greedy(PROMPTS[0], 12)
    assert engine.stats()["blocks_free"] == 64


def test_bfloat16_answers_too(engine_with):
    engine = engine_with(dtype="bfloat16")
    assert all(len(tokens(chunks)) == 12 for chunks in everything(engine))
    assert engine._runner._decoder.dtype == torch.bfloat16
