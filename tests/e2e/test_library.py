"""Fettle from Python: tune, load, generate, stream."""

import json
import threading

import pytest

import fettle
from fettle.errors import InvalidInput, NotFound
from fettle.types.tuning import EvaluationEvent

pytestmark = pytest.mark.e2e
ROWS = [{"prompt": f"say {n}", "completion": f"number {n}"} for n in range(40)]


@pytest.fixture(autouse=True)
def in_home(home, monkeypatch):
    monkeypatch.setenv("FETTLE_HOME", str(home))
    monkeypatch.setenv("FETTLE_THREADS", "1")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "numbers.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS))
    return path


@pytest.fixture(scope="module")
def model(home, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FETTLE_HOME", str(home))
        events: list[object] = []
        model = fettle.tune(rows, name="numbers", base="tiny", on_event=events.append, epochs=2, rank=4)
        assert [event.epoch for event in events if isinstance(event, EvaluationEvent)] == [1, 2]
        return model


def test_a_tuned_model_answers_at_once_and_in_the_same_way_when_loaded(model):
    text = model.generate("say 7", max_tokens=12)
    assert fettle.load("numbers").generate("say 7", max_tokens=12) == text
    assert fettle.load("tiny").generate("say 7", max_tokens=12) != text


def test_the_pieces_of_a_stream_are_the_answer(model):
    pieces = list(model.stream("say 7", max_tokens=12))
    assert "".join(pieces) == model.generate("say 7", max_tokens=12)
    assert len(pieces) > 1


def test_messages_are_a_prompt_too(model):
    messages = [{"role": "user", "content": "say 7"}]
    assert model.generate(messages, max_tokens=12) == model.generate("say 7", max_tokens=12)


def test_streams_of_several_models_can_be_read_in_turns(model):
    models = [model, fettle.load("tiny"), model]
    expected = [one.generate(f"say {n}", max_tokens=10) for n, one in enumerate(models)]
    streams = [one.stream(f"say {n}", max_tokens=10) for n, one in enumerate(models)]
    texts = ["", "", ""]
    while streams_left := [n for n, stream in enumerate(streams) if stream is not None]:
        for n in streams_left:
            piece = next(streams[n], None)
            texts[n] += piece or ""
            streams[n] = streams[n] if piece is not None else None
    assert texts == expected


def test_threads_share_an_engine(model):
    expected = [model.generate(f"say {n}", max_tokens=10) for n in range(4)]
    found: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: model.generate(f"say {n}", max_tokens=10)}))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(4)] == expected


def test_a_stream_that_is_left_does_not_hold_up_others(model):
    stream = model.stream("say 7", max_tokens=100)
    next(stream)
    stream.close()
    assert not model._engine._open
    assert model.generate("say 7", max_tokens=5)


def test_wrong_words_are_told(model, rows):
    with pytest.raises(NotFound, match="nummbers"):
        fettle.load("nummbers")
    with pytest.raises(InvalidInput, match="temprature"):
        model.generate("say 7", temprature=0)
    with pytest.raises(InvalidInput, match="rank"):
        fettle.tune(rows, name="never", base="tiny", rank=0)


def test_a_sweep_keeps_the_run_that_was_best(rows):
    jobs = set()
    result = fettle.sweep(
        rows, name="swept", base="tiny", grid={"rank": [2, 4]}, epochs=1, on_event=lambda job, _: jobs.add(job.id)
    )
    assert {run.job for run in result.runs} == jobs
    assert result.best == min(result.runs, key=lambda run: run.loss).job
    assert fettle.load("swept").name == result.model == "swept:1"


def test_names_that_are_not_there_are_attribute_errors():
    with pytest.raises(AttributeError, match="trane"):
        _ = fettle.trane
    assert {"tune", "sweep", "load", "Model", "Engine"} <= set(dir(fettle))
