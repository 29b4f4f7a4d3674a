"""Jobs that tune a sentence encoder: what is refused, what is recorded, and what the models' names mean then."""

import json
from pathlib import Path

import pytest

from fettle.errors import InvalidInput, NotFound
from fettle.services.platform import Platform
from fettle.testing.model_files import write_model_files
from fettle.types.encoding import EncodeRequest
from fettle.types.generation import GenerateRequest
from fettle.types.tuning import TuningSpec


@pytest.fixture
def encoder(platform: Platform, tmp_path: Path) -> Platform:
    platform.base_models.pull(write_model_files(tmp_path / "letters", model_type="bert"))
    return platform


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    rows = [{"text": f"text {number}", "label": ["ham", "spam"][number % 2]} for number in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def spec(method: str = "lora", **fields: object) -> TuningSpec:
    return TuningSpec.model_validate({"base": "letters", "method": method, "name": "spam"} | fields)


def test_the_methods_of_an_encoder_are_told_with_it(encoder: Platform) -> None:
    assert encoder.base_models.get("letters").methods == ("full", "last-layers", "lora", "head")


def test_a_job_is_recorded_with_the_defaults_of_classifiers(encoder: Platform, texts: Path) -> None:
    job = encoder.tuning_jobs.create(spec(), texts)
    assert job.spec.adapter["target_modules"] == ["query", "key", "value", "dense"]
    assert job.spec.hyperparameters.learning_rate == 1e-3


def test_all_faults_are_told_at_once(encoder: Platform, tmp_path: Path) -> None:
    train, held = tmp_path / "bad.jsonl", tmp_path / "held.jsonl"
    train.write_text('{"text": "", "label": "a"}\n{"text": "x", "label": "a"}\n{"text": "y"}\n')
    held.write_text('{"text": "x", "label": "b"}\n')
    wrong = spec(name="small", adapter={"rank": 0}, hyperparameters={"first_layer": 7})
    with pytest.raises(InvalidInput) as caught:
        encoder.tuning_jobs.create(wrong, train, held)
    told = caught.value.message
    for words in (
        "layers 7 to 1",
        "'small'",
        "rank",
        "`text` is empty",
        "`label` is missing",
        "has the label 'a'",
        "'b'",
    ):
        assert words in told, words
    assert encoder.tuning_jobs.list() == []


def test_methods_that_write_do_not_fit_an_encoder_nor_the_other_way_round(encoder: Platform, texts: Path) -> None:
    with pytest.raises(NotFound, match="'dpo'"):
        encoder.tuning_jobs.create(spec("dpo"), texts)
    with pytest.raises(NotFound, match="'head'"):
        encoder.tuning_jobs.create(spec("head", base="small"), texts)


def test_rows_of_text_and_label_can_also_teach_a_model_that_writes(encoder: Platform, texts: Path) -> None:
    assert encoder.tuning_jobs.create(spec(base="small"), texts).state == "queued"


@pytest.mark.anyio
async def test_what_a_model_cannot_do_is_told_before_anything_is_started(encoder: Platform) -> None:
    with pytest.raises(InvalidInput, match="'letters' is a sentence encoder: it writes no text"):
        await anext(encoder.engines.generate(GenerateRequest(model="letters", text="x")))
    with pytest.raises(InvalidInput, match="'small' writes text: it gives no vectors"):
        await encoder.engines.encode(EncodeRequest(model="small", inputs=("x",), task="embed"))
    assert encoder.engines.states() == {}
