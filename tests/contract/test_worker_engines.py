"""What every engine of a worker keeps to: the real one, and the counting one that tests put in its place."""

import pytest

from fettle.errors import FettleError
from fettle.serving import Engine, EngineSettings
from fettle.testing.counting import CountingEngine
from fettle.testing.models import tiny_adapter, tiny_model
from fettle.types.generation import GenerateRequest, SamplingParams


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(params=[CountingEngine, Engine], ids=["counting", "real"])
def engine(request, base):
    if request.param is CountingEngine:
        return CountingEngine()
    return Engine.load(base, EngineSettings(dtype="float32", num_blocks=64))


def asked(max_tokens=3):
    sampling = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True)
    return GenerateRequest(model="m", token_ids=(10, 11, 12), sampling=sampling)


def run(engine):
    chunks = []
    while engine.has_work:
        chunks += engine.step()
    return chunks


def test_each_choice_gets_its_tokens_and_its_end(engine):
    for index in (0, 1):
        engine.add("one", asked(), adapter=None, index=index)
    chunks = run(engine)
    for index in (0, 1):
        mine = [chunk for chunk in chunks if chunk.index == index]
        assert {chunk.request_id for chunk in mine} == {"one"}
        assert sum(len(chunk.token_ids) for chunk in mine) == mine[-1].completion_tokens == 3
        assert [chunk.finish_reason for chunk in mine] == [None] * (len(mine) - 1) + ["length"]


def test_an_aborted_request_is_not_heard_of_again(engine):
    engine.add("one", asked(max_tokens=50), adapter=None, index=0)
    engine.add("two", asked(), adapter=None, index=0)
    engine.step()
    engine.abort("one")
    engine.abort("never heard of")
    assert {chunk.request_id for chunk in run(engine)} == {"two"}
    assert engine.stats()["running"] == 0


def test_an_adapter_must_be_loaded_before_it_is_asked(engine, base, tmp_path):
    with pytest.raises(FettleError):
        engine.add("one", asked(), adapter="red", index=0)
    engine.add_adapter("red", tiny_adapter(tmp_path / "red", "lora", base, seed=1))
    engine.add("one", asked(), adapter="red", index=0)
    assert run(engine)
    engine.remove_adapter("red")
    with pytest.raises(FettleError):
        engine.add("two", asked(), adapter="red", index=0)


def test_an_adapter_that_cannot_be_loaded_is_refused(engine, tmp_path):
    with pytest.raises(FettleError):
        engine.add_adapter("red", tmp_path / "nothing here")
