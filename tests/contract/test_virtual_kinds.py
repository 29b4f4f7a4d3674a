"""What every kind of virtual tokens promises, and that adapters of all kinds are served together as each alone."""

import pytest
import torch

from fettle.adapters.adapter import Adapter
from fettle.adapters.bank import AdapterBank
from fettle.adapters.inject import inject
from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.virtual import VirtualKind
from fettle.adapters.merge import merge_into
from fettle.adapters.start import start
from fettle.adapters.virtual import virtual_misfits, virtual_tokens
from fettle.data.packing import pack
from fettle.data.template import Encoded
from fettle.errors import InvalidInput
from fettle.models.loading import load_decoder
from fettle.models.tokenizer import Tokenizer
from fettle.serving import Engine, EngineSettings
from fettle.testing.models import tiny_adapter, tiny_model
from fettle.tuning.forward import hidden
from fettle.types.generation import GenerateRequest, SamplingParams

VIRTUAL = [name for name, kind in KINDS.items() if isinstance(kind, VirtualKind)]
TEXT = "Answer in one word."
ROW = [60, 61, 62, 63]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def decoder(base):
    loaded = load_decoder(base, dtype=torch.float64)
    inject(loaded, AdapterBank())
    return loaded


@pytest.fixture(scope="module")
def encode(base):
    return Tokenizer.load(base).encode


def made(kind, decoder, encode, **settings) -> Adapter:
    return start(decoder, kind, KINDS[kind].config(**settings), encode=encode, seed=1)


def states(decoder, tokens, adapter=None):
    virtual = None if adapter is None else virtual_tokens(adapter, decoder)
    return hidden(decoder, pack([Encoded(tokens, [True] * len(tokens))]), virtual)[: len(tokens)]


@pytest.mark.parametrize("kind", VIRTUAL)
def test_fresh_virtual_tokens_are_their_text_before_the_sequence(kind, decoder, encode):
    text = encode(TEXT)
    fresh = made(kind, decoder, encode, init_text=TEXT, num_virtual_tokens=len(text))
    found = states(decoder, ROW, fresh)
    # The parameters are float32, and the model is not.
    torch.testing.assert_close(found, states(decoder, [*text, *ROW])[len(text) :], rtol=0, atol=1e-5)
    assert (found - states(decoder, ROW)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", VIRTUAL)
def test_a_short_text_is_repeated_and_a_long_one_is_refused(kind, decoder, encode):
    length = len(encode(TEXT))
    repeated = made(kind, decoder, encode, init_text=TEXT, num_virtual_tokens=2 * length + 3)
    written_out = made(kind, decoder, encode, init_text=3 * TEXT, num_virtual_tokens=3 * length)
    starts = [virtual_tokens(adapter, decoder).keys[:, : 2 * length + 3] for adapter in (repeated, written_out)]
    torch.testing.assert_close(*starts)
    with pytest.raises(InvalidInput, match=f"init_text has {length} tokens; it should have 1 to 5") as told:
        made(kind, decoder, encode, init_text=TEXT, num_virtual_tokens=5)
    assert f"num_virtual_tokens to {length}" in told.value.hint


@pytest.mark.parametrize("kind", VIRTUAL)
def test_without_a_text_the_seed_says_how_they_start(kind, decoder, encode):
    config = KINDS[kind].config(num_virtual_tokens=6)
    first, again, other = (start(decoder, kind, config, encode=encode, seed=seed).virtual for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", VIRTUAL)
def test_gradients_reach_every_parameter(kind, decoder, encode):
    adapter = made(kind, decoder, encode, num_virtual_tokens=5)
    states(decoder, ROW, adapter).square().sum().backward()
    parameters = adapter.named_parameters()
    assert len(parameters) == len(KINDS[kind].shapes(decoder.config, adapter.config))
    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in parameters.values())


@pytest.mark.parametrize("kind", VIRTUAL)
def test_no_weights_could_do_the_same_and_that_is_said(kind, base, decoder, encode):
    adapter = made(kind, decoder, encode, num_virtual_tokens=5)
    with pytest.raises(
        InvalidInput, match=f"a {kind} adapter cannot be merged into weights: it is 5 positions"
    ) as told:
        merge_into(load_decoder(base), adapter)
    assert told.value.hint


@pytest.mark.parametrize("kind", VIRTUAL)
def test_the_shapes_are_those_of_the_start_and_others_are_named(kind, decoder, encode, tmp_path):
    adapter = made(kind, decoder, encode, num_virtual_tokens=5)
    assert list(virtual_misfits(adapter, decoder.config)) == []
    other = decoder.config.model_copy(update={"hidden_size": 7, "head_dim": 3})
    (fault,) = virtual_misfits(adapter, other)
    assert fault.startswith("virtual tokens: shapes {")
    (fault,) = virtual_misfits(adapter, decoder.config.model_copy(update={"max_positions": 5}))
    assert fault == "virtual tokens: 5, the model's context has 5 positions"


def test_a_mixed_batch_of_all_kinds_equals_each_row_alone(base, tmp_path):
    room = EngineSettings(dtype="float32", block_size=4, num_blocks=200, max_batch_tokens=64)
    settings = {kind: {"num_virtual_tokens": 5 + place} for place, kind in enumerate(VIRTUAL)}
    for kind in KINDS:
        tiny_adapter(tmp_path / kind, kind, base, 1, **settings.get(kind, {}))
    names = [None, *KINDS, *VIRTUAL, None]
    engine, alone = Engine.load(base, room), Engine.load(base, room)
    for served in (engine, alone):
        for kind in KINDS:
            served.add_adapter(kind, tmp_path / kind)
    requests = [_request(range(20 + place, 32 + 3 * place)) for place in range(len(names))]
    for place, (name, request) in enumerate(zip(names, requests, strict=True)):
        engine.add(str(place), request, adapter=name)

    mixed = {}
    while engine.has_work:
        for chunk in engine.step():
            mixed.setdefault(int(chunk.request_id), []).append(chunk)

    for place, (name, request) in enumerate(zip(names, requests, strict=True)):
        ((expected,),) = alone.generate([request], adapter=name)
        assert tuple(token for chunk in mixed[place] for token in chunk.token_ids) == expected.token_ids
        found = [one.logprob for chunk in mixed[place] for one in chunk.logprobs]
        assert found == pytest.approx([one.logprob for one in expected.logprobs], abs=1e-4)
        assert expected.prompt_tokens == len(request.token_ids)


def _request(prompt) -> GenerateRequest:
    sampling = SamplingParams(temperature=0, max_tokens=5, ignore_eos=True, logprobs=1)
    return GenerateRequest(model="any", token_ids=tuple(prompt), sampling=sampling)
