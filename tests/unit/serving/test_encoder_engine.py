"""One encoder serves itself and its tuned versions, each text by the adapter and the head that it is for."""

import shutil

import numpy as np
import pytest
import torch

import fettle.serving.encoder_engine as module
from fettle.adapters.bank import AdapterBank
from fettle.adapters.files import load_adapter
from fettle.adapters.inject import inject
from fettle.errors import InvalidInput, NotFound, UnsupportedModel
from fettle.models.encoder import embeddings
from fettle.models.encoder_files import load_encoder
from fettle.models.head import load_head
from fettle.serving.encoder_engine import EncoderEngine
from fettle.serving.settings import EngineSettings
from fettle.testing.encoders import tiny_classifier, tiny_encoder
from fettle.types.encoding import EncodeRequest

LABELS = {"spam": ("ham", "spam"), "tone": ("angry", "calm", "glad"), "plain": ("a", "b")}
TEXTS = [[2, 5, 6, 3], [2, 9, 3], [2, 5, 6, 7, 8, 3], [2, 20, 21, 3]]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def versions(base, tmp_path_factory):
    root, kinds = tmp_path_factory.mktemp("versions"), {"spam": "lora", "tone": "lora", "plain": None}
    return {
        name: tiny_classifier(root / name, base, LABELS[name], seed=seed, kind=kind, **({"rank": 4} if kind else {}))
        for seed, (name, kind) in enumerate(kinds.items())
    }


@pytest.fixture
def engine(base, versions):
    loaded = EncoderEngine.load(base)
    for name, folder in versions.items():
        loaded.add_adapter(name, folder)
    return loaded


def asked(task="classify"):
    return EncodeRequest(model="m", inputs=("given as tokens",), task=task)


def finished(engine):
    found = {}
    while engine.has_work:
        found |= dict(engine.step())
    return found


def numbers(encoded):
    return np.stack([np.frombuffer(values, "<f4") for values in encoded.values])


@torch.no_grad()
def expected(base, folder, texts, task):
    """What the files mean, each text alone."""
    encoder, bank = load_encoder(base), AdapterBank()
    inject(encoder, bank)
    has_adapter = folder and (folder / "adapter_config.json").exists()
    slot = bank.add(load_adapter(folder)) if has_adapter else -1
    with bank.route([(slot, 1)]):
        pooled = torch.cat([encoder.pooled(torch.tensor(ids), [len(ids)]) for ids in texts])
    if task == "embed":
        return embeddings(pooled).numpy()
    return load_head(folder, encoder.config.hidden_size)(pooled).softmax(-1).numpy()


@pytest.mark.parametrize("max_tokens", [4096, 7])
def test_a_mixed_batch_gives_each_request_what_its_version_computes_alone(
    max_tokens, engine, base, versions, monkeypatch
):
    monkeypatch.setattr(module, "MAX_BATCH_TOKENS", max_tokens)
    wanted = [("classify", "spam"), ("classify", "tone"), ("classify", "plain"), ("embed", "spam"), ("embed", None)]
    for number, (task, name) in enumerate(wanted):
        engine.add(str(number), asked(task), TEXTS[number % 2 :], name)
    found = finished(engine)
    assert set(found) == {str(number) for number in range(len(wanted))}
    for number, (task, name) in enumerate(wanted):
        texts, encoded = TEXTS[number % 2 :], found[str(number)]
        alone = expected(base, versions.get(name), texts, task)
        np.testing.assert_allclose(numbers(encoded), alone, atol=1e-4)
        assert encoded.labels == (LABELS[name] if task == "classify" else ())
        assert encoded.prompt_tokens == sum(map(len, texts))
    spam, tone = (numbers(found[number]) for number in ("0", "4"))
    assert spam.shape[1] == 2
    np.testing.assert_allclose((tone**2).sum(-1), 1, atol=1e-5)


def test_a_model_without_classes_makes_vectors_only(engine):
    with pytest.raises(InvalidInput, match="has no classes") as caught:
        engine.add("1", asked(), TEXTS, None)
    assert "`text` and `label`" in caught.value.hint
    with pytest.raises(NotFound, match="'spum'"):
        engine.add("1", asked(), TEXTS, "spum")
    assert not engine.has_work


def test_texts_over_the_context_are_refused_by_their_places(engine):
    with pytest.raises(InvalidInput, match="input 1 has 65 tokens, input 2 has 70 tokens; at most 64"):
        engine.add("1", asked(), [[2, 3], [5] * 65, [5] * 70], "spam")


def test_who_waits_for_a_version_that_is_removed_still_gets_its_answer(engine, base, versions):
    engine.add("1", asked(), TEXTS, "spam")
    engine.remove_adapter("spam")
    engine.add_adapter("later", versions["tone"])
    found = finished(engine)
    np.testing.assert_allclose(numbers(found["1"]), expected(base, versions["spam"], TEXTS, "classify"), atol=1e-4)
    with pytest.raises(NotFound):
        engine.add("2", asked(), TEXTS, "spam")
    assert engine.stats()["adapters_resident"] == 2, "the slot is free again"


@pytest.mark.parametrize("room", [1, 1.5, 2])
def test_adapters_stay_in_memory_within_a_bound_and_answer_the_same(room, base, versions):
    size = load_adapter(versions["spam"]).size_bytes
    engine = EncoderEngine.load(base, EngineSettings(adapter_bytes=int(room * size)))
    for name, folder in versions.items():
        engine.add_adapter(name, folder)
    asks = [(str(number), name) for number, name in enumerate(("spam", "tone", "plain", "tone", "spam"))]
    for number, name in asks:
        engine.add(number, asked(), TEXTS, name)
    found = {}
    while engine.has_work:
        found |= dict(engine.step())
        assert engine.stats()["adapter_bytes"] <= room * size
    for number, name in asks:
        np.testing.assert_allclose(numbers(found[number]), expected(base, versions[name], TEXTS, "classify"), atol=1e-4)


def test_a_request_whose_adapter_is_gone_from_the_disk_fails_alone(base, versions, tmp_path):
    gone = shutil.copytree(versions["spam"], tmp_path / "gone")
    engine = EncoderEngine.load(base, EngineSettings(adapter_bytes=1))
    for name, folder in (("gone", gone), ("tone", versions["tone"])):
        engine.add_adapter(name, folder)
    shutil.rmtree(gone)
    engine.add("1", asked(), TEXTS, "gone")
    engine.add("2", asked(), TEXTS, "tone")
    found = finished(engine)
    assert isinstance(found["1"], UnsupportedModel)
    np.testing.assert_allclose(numbers(found["2"]), expected(base, versions["tone"], TEXTS, "classify"), atol=1e-4)


def test_a_request_that_is_aborted_is_forgotten(engine):
    engine.add("1", asked(), TEXTS, "spam")
    engine.add("2", asked(), TEXTS, "tone")
    engine.abort("1")
    assert set(finished(engine)) == {"2"}


def test_an_encoder_with_a_head_is_no_version_of_another_one(engine, versions, tmp_path):
    """Its head would be asked about the other's vectors, and answer something."""
    shutil.copytree(tiny_encoder(tmp_path / "tuned"), tmp_path / "whole", dirs_exist_ok=True)
    shutil.copytree(versions["plain"], tmp_path / "whole", dirs_exist_ok=True)
    with pytest.raises(UnsupportedModel, match="a whole encoder"):
        engine.add_adapter("whole", tmp_path / "whole")


def test_a_version_of_another_encoder_is_refused_and_the_old_one_stays(engine, tmp_path, base, versions):
    other = tiny_encoder(tmp_path / "other", intermediate_size=80)
    folder = tiny_classifier(tmp_path / "strange", other, ("x", "y"), seed=1, rank=4)
    with pytest.raises(UnsupportedModel, match=r"does not fit this model:\s+encoder\.layer\.0\.intermediate\.dense"):
        engine.add_adapter("spam", folder)
    engine.add("1", asked(), TEXTS[:1], "spam")
    assert finished(engine)["1"].labels == LABELS["spam"]
