"""Classifiers are tuned, stopped, resumed and written by the one loop."""

import json
from pathlib import Path

import peft
import pytest
import torch
import torch.nn.functional as F
import transformers

from fettle.adapters.adapter import Adapter
from fettle.adapters.bank import AdapterBank
from fettle.adapters.classifiers import CLASSIFIERS
from fettle.adapters.files import load_adapter
from fettle.adapters.inject import inject
from fettle.errors import InvalidInput
from fettle.models.encoder_files import load_encoder
from fettle.models.head import load_head
from fettle.testing.encoders import tiny_encoder
from fettle.tuning.classifier import Classifier
from fettle.tuning.classify import load_texts, tune_classifier
from fettle.types.tuning import EvaluationEvent, Hyperparameters, MessageEvent, TuningPlan, TuningSpec

WORDS = {"animal": ("aaa", "aab", "aba"), "number": ("xxx", "xxy", "xyx")}
FAST = {"epochs": 4, "batch_size": 8, "dtype": "float32", "validation_fraction": 0.2}
#: A tiny random encoder knows nothing, so it takes larger steps than a trained one.
RATES = {"full": 3e-3, "last-layers": 5e-3, "lora": 1e-2, "head": 5e-2}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("base"), num_hidden_layers=3, hidden_size=16)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    lines = [{"text": f"{word} {i}", "label": label} for i in range(7) for label, ws in WORDS.items() for word in ws]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def plan(base, rows, tmp_path):
    def make(method="lora", name="run", adapter=None, **settings) -> TuningPlan:
        hyperparameters = Hyperparameters(**FAST | {"learning_rate": RATES[method]} | settings)
        return TuningPlan(
            spec=TuningSpec(
                base="tiny", method=method, name="x", adapter=adapter or {}, hyperparameters=hyperparameters
            ),
            base_path=str(base),
            train_path=str(rows),
            work_path=str(tmp_path / name / "work"),
            output_path=str(tmp_path / name / "output"),
        )

    return make


def logits_of(folder: Path, base: Path, texts: list[list[int]]) -> torch.Tensor:
    """What the written files compute, each text alone."""
    encoder = load_encoder(folder if (folder / "config.json").exists() else base)
    bank = AdapterBank()
    inject(encoder, bank)
    slot = bank.add(load_adapter(folder)) if (folder / "adapter_config.json").exists() else -1
    head = load_head(folder, encoder.config.hidden_size)
    with torch.no_grad(), bank.route([(slot, 1)]):
        return torch.cat([head(encoder.pooled(torch.tensor(ids), [len(ids)])) for ids in texts])


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_every_method_learns_and_its_files_compute_what_was_validated(method, plan, base):
    events = []
    made = plan(method)
    result = tune_classifier(made, events.append)
    accuracies = [event.validation.choice_accuracy for event in events if isinstance(event, EvaluationEvent)]
    assert result.validation.choice_accuracy == result.validation.token_accuracy == accuracies[-1]
    assert max(accuracies) > 0.8
    assert "no_gradient" not in {event.code for event in events if isinstance(event, MessageEvent)}
    labels, material = load_texts(made, lambda _: None)
    assert labels == tuple(sorted(WORDS))
    assert json.loads((Path(made.output_path) / "fettle.json").read_text()) == {
        "prompt_format": "prompt",
        "kind": CLASSIFIERS[method].made,
        "labels": list(labels),
    }
    held = material.validation
    logits = logits_of(Path(made.output_path), base, [held.rows.row(i).token_ids for i in range(len(held))])
    best = next(e.validation for e in events if isinstance(e, EvaluationEvent) and e.step == result.best_step)
    targets = torch.from_numpy(held.classes)
    assert F.cross_entropy(logits, targets).item() == pytest.approx(best.loss, abs=1e-3)
    assert (logits.argmax(-1) == targets).float().mean().item() == pytest.approx(best.choice_accuracy)


def test_only_what_the_method_names_is_trained(base):
    settings = Hyperparameters(epochs=1)
    trained = {}
    for name, method in CLASSIFIERS.items():
        completed = method.completed(settings)
        model = Classifier(base, method, method.adapter_config({}), completed, ("a", "b"), torch.float32)
        trained[name] = set(model.parameters) - {"classifier.weight", "classifier.bias"}
    weights = {name for name, _ in load_encoder(base).named_parameters()}
    assert trained["head"] == set()
    assert trained["full"] == weights
    assert trained["last-layers"] == {name for name in weights if name.startswith("encoder.layer.2.")}
    assert len(trained["lora"]) == 3 * 6 * 2


@pytest.mark.parametrize("method", ["lora", "last-layers", "full"])
def test_the_loss_has_gradients_in_all_that_is_trained(method, plan, base):
    made, chosen = plan(method), CLASSIFIERS[method]
    labels, material = load_texts(made, lambda _: None)
    settings = chosen.completed(made.spec.hyperparameters)
    model = Classifier(base, chosen, chosen.adapter_config({}), settings, labels, torch.float32)
    for name, value in model.body.items():
        if name.endswith(".b"):  # LoRA's outer matrices begin with zeros, behind which nothing else has gradients
            value.data += 0.1
    model.loss(material.train.pack(range(len(material.train)))).terms.sum().backward()
    silent = {name for name, value in model.parameters.items() if value.grad is None or not value.grad.any()}
    # Only the first sort of text and some positions are ever used, but each of these tables is one parameter; and a
    # constant that is added to all keys changes no attention.
    assert {name for name in silent if not name.endswith("key.bias")} == set()


def test_layers_are_unfrozen_from_the_top_with_every_epoch(base):
    method = CLASSIFIERS["last-layers"]
    settings = method.completed(Hyperparameters(epochs=3, unfreeze_per_epoch=1))
    model = Classifier(base, method, None, settings, ("a", "b"), torch.float32)
    learner = model.learner(settings)
    seen = []
    for epoch in range(3):
        learner.begin_epoch(epoch)
        on = {name.split(".")[2] for name, value in model.body.items() if value.requires_grad}
        seen.append((sorted(on), all(value.requires_grad for value in model.head.parameters())))
    assert seen == [(["2"], True), (["1", "2"], True), (["0", "1", "2"], True)]


def test_the_head_learns_faster_than_what_is_trained_already(base):
    method = CLASSIFIERS["full"]
    settings = method.completed(Hyperparameters())
    model = Classifier(base, method, None, settings, ("a", "b"), torch.float32)
    body, head = model.learner(settings).optimizers
    assert head.param_groups[0]["lr"] == pytest.approx(10 * body.param_groups[0]["lr"])


def test_a_run_that_is_cut_short_goes_on_to_the_same_bits(plan, monkeypatch):
    whole, parts = plan(name="whole", epochs=2), plan(name="parts", epochs=2, checkpoint_interval=3)
    tune_classifier(whole, lambda _: None)

    class Cut(Exception):
        pass

    def cut(event):
        if getattr(event, "step", 0) == 5:
            raise Cut

    with pytest.raises(Cut):
        tune_classifier(parts, cut)
    told = []
    tune_classifier(parts, told.append)
    assert "resumed" in {event.code for event in told if isinstance(event, MessageEvent)}
    for name in ("adapter_model.safetensors", "head.safetensors"):
        one, other = (Path(made.output_path, name).read_bytes() for made in (whole, parts))
        assert one == other, name


def test_peft_computes_the_same_states_with_our_adapter(plan, base):
    made = plan(epochs=1)
    tune_classifier(made, lambda _: None)
    model = transformers.BertModel.from_pretrained(base, add_pooling_layer=False)
    theirs = peft.PeftModel.from_pretrained(model, made.output_path).eval()
    ids = torch.tensor([5, 6, 7, 8, 9])
    encoder, bank = load_encoder(base), AdapterBank()
    inject(encoder, bank)
    adapter: Adapter = load_adapter(Path(made.output_path))
    with torch.no_grad(), bank.route([(bank.add(adapter), len(ids))]):
        ours = encoder.pooled(ids, [len(ids)])
    with torch.no_grad():
        expected = theirs(input_ids=ids[None]).last_hidden_state[0].mean(0)
    torch.testing.assert_close(ours[0], expected, rtol=0, atol=1e-4)


def test_the_labels_are_told_and_those_that_nothing_teaches(plan, tmp_path):
    path = tmp_path / "numbers.jsonl"
    texts = [("cat", 0), ("dog", 0), ("one", 1), ("two", 1), ("saw", 2), ("axe", 2)]
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in texts))
    made = plan(validation_fraction=0.0).model_copy(update={"train_path": str(path)})
    events = []
    labels, material = load_texts(made, events.append)
    assert labels == ("0", "1", "2")
    assert material.validation is None
    assert events[0].text == "3 labels: '0' (2), '1' (2), '2' (2); whole numbers are read as texts"


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("head", {"top_fraction": 0.5}, "a choice of layers"),
        ("lora", {"quantization": "nf4"}, "quantization=nf4"),
    ],
)
def test_settings_without_a_use_are_refused(method, settings, words):
    with pytest.raises(InvalidInput, match=words):
        CLASSIFIERS[method].completed(Hyperparameters(**settings))
