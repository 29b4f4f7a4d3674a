"""A plan becomes the files of a custom model, and the loop keeps its promises on the way."""

import errno
import math
from pathlib import Path

import pytest
import torch

from fettle.adapters.bank import AdapterBank
from fettle.adapters.files import load_adapter
from fettle.adapters.inject import inject
from fettle.adapters.methods import METHODS
from fettle.errors import InvalidInput, NotFound, StorageFailed, TrainingFailed
from fettle.models.attention import PackedAttention
from fettle.models.loading import load_decoder
from fettle.models.weights import SINGLE, tensors, write_weights
from fettle.testing.models import tiny_model
from fettle.tuning.checkpoint import Checkpoints, write_whole
from fettle.tuning.methods import trainee_for
from fettle.tuning.objectives.next_token import NextToken, next_token
from fettle.tuning.tune import load_material, tune
from fettle.types.tuning import EvaluationEvent, MessageEvent, StepEvent


def run(plan):
    events = []
    return tune(plan, events.append), events


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns(method, plan):
    _, events = run(plan(method=method, epochs=4))
    evaluations = of(EvaluationEvent, events)
    assert evaluations[-1].validation.loss < evaluations[0].validation.loss


def test_only_what_was_asked_is_trained(plan, base):
    made = plan(adapter={"rank": 2, "target_modules": ["q_proj"]}, first_layer=1)
    result, _ = run(made)
    assert set(load_adapter(Path(made.output_path)).sites) == {"model.layers.1.self_attn.q_proj"}
    config = load_decoder(base).config
    assert result.trained_parameters == 2 * (config.hidden_size + config.num_heads * config.head_dim)
    assert result.total_parameters == config.num_parameters + result.trained_parameters


def test_full_tuning_of_a_layer_range_leaves_the_other_layers_as_they_are(plan, base):
    made = plan(method="full", first_layer=1)
    run(made)
    before = dict(load_decoder(base, dtype=torch.bfloat16).named_parameters())
    after = dict(load_decoder(Path(made.output_path), dtype=torch.bfloat16).named_parameters())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("model.layers.1.") for name in changed)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(plan):
    files = []
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        made = plan(name, seed=seed)
        run(made)
        files.append((Path(made.output_path) / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("method", ["lora", "prompt", "prefix"])
def test_a_run_that_is_cut_off_goes_on_to_the_same_bits(method, plan):
    class CutOffError(Exception):
        pass

    whole, cut = (plan(name, method, checkpoint_interval=3) for name in ("whole", "cut"))
    _, expected = run(whole)
    seen = []

    def until_step(limit):
        def emit(event):
            seen.append(event)
            if isinstance(event, StepEvent) and event.step == limit:
                raise CutOffError

        return emit

    for limit in (2, 5, 11):
        with pytest.raises(CutOffError):
            tune(cut, until_step(limit))
    result = tune(cut, seen.append)

    weights = [(Path(p.output_path) / "adapter_model.safetensors").read_bytes() for p in (whole, cut)]
    assert weights[0] == weights[1]
    steps = {event.step: event.loss for event in of(StepEvent, seen)}
    assert steps == {event.step: event.loss for event in of(StepEvent, expected)}
    assert result.steps == of(StepEvent, expected)[-1].total_steps


def test_accumulated_pieces_equal_the_whole_batch(plan, base):
    spec = plan(adapter={"dropout": 0.0}).spec
    material = load_material(plan(), NextToken(), lambda event: None)
    gradients = []
    for parts in ([range(12)], [range(3), range(3, 4), range(4, 12)]):
        trainee = trainee_for(spec, base, torch.float32)
        batches = [material.train.pack(list(part)) for part in parts]
        count = sum(len(batch.at) for batch in batches)
        for batch in batches:
            (trainee.loss(batch).terms / count).sum().backward()
        gradients.append(torch.cat([value.grad.flatten() for value in trainee.parameters.values()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-7)


def test_a_small_token_budget_gives_the_same_losses(plan):
    losses = []
    for name, budget in [("big", 8192), ("small", 40)]:
        _, events = run(plan(name, max_tokens_per_batch=budget, adapter={"dropout": 0.0}))
        losses.append([event.loss for event in of(StepEvent, events)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_loss_is_the_plain_one_on_the_answers_tokens_only(plan, base):
    material = load_material(plan(), NextToken(), lambda event: None)
    trainee = trainee_for(plan().spec, base, torch.float32)
    batch = material.train.pack([0, 1, 2])

    with torch.no_grad():
        loss = trainee.loss(batch)

    decoder, total, start = load_decoder(base), 0.0, 0
    for index, length in enumerate(batch.lengths):
        tokens = torch.from_numpy(batch.tokens[start : start + length])
        start += length
        logs = decoder(tokens, torch.arange(length), PackedAttention([length])).log_softmax(-1)
        scored = material.train.row(index).scored
        total -= sum(float(logs[i - 1, tokens[i]]) for i in range(1, length) if scored[i])
    assert float(loss.terms) == pytest.approx(total, rel=1e-4)
    assert loss.num_tokens == sum(sum(material.train.row(i).scored) for i in range(3))


def test_every_one_of_the_first_twenty_steps_is_logged_then_every_nth(plan):
    _, events = run(plan(epochs=6, log_interval=7))
    steps = [event.step for event in of(StepEvent, events)]
    total = of(StepEvent, events)[0].total_steps
    assert steps == [s for s in range(1, total + 1) if s <= 20 or s % 7 == 0]


def test_the_best_parameters_are_kept_and_training_stops_when_validation_does_not_fall(plan, base):
    made = plan(learning_rate=0.3, epochs=30, early_stopping={"patience": 2, "threshold": 0.0})
    result, events = run(made)
    losses = {event.step: event.validation.loss for event in of(EvaluationEvent, events)}
    best = min(losses, key=losses.get)
    assert result.stopped_early
    assert result.best_step == best < result.steps
    assert any(event.code == "early_stop" for event in of(MessageEvent, events))
    material = load_material(made, NextToken(), events.append)
    decoder, bank = load_decoder(base), AdapterBank()
    inject(decoder, bank)
    rows = material.validation
    batch = rows.pack(range(len(rows)))
    with bank.route([(bank.add(load_adapter(Path(made.output_path))), len(batch.tokens))]), torch.no_grad():
        loss = next_token(decoder, batch)
    assert float(loss.terms) / loss.num_tokens == pytest.approx(losses[best], rel=1e-4)


def test_divergence_is_said_with_its_step(plan, tmp_path):
    broken = tiny_model(tmp_path / "broken")
    weights = dict(tensors(broken))
    weights["model.norm.weight"][0] = torch.nan
    write_weights(broken / SINGLE, weights)
    with pytest.raises(TrainingFailed, match=r"diverged at step 1: loss nan"):
        run(plan().model_copy(update={"base_path": str(broken)}))


def test_rows_longer_than_the_context_are_left_out_and_that_is_said(plan, rows, tmp_path):
    long = tmp_path / "long.jsonl"
    long.write_text(rows.read_text() + '{"prompt": "' + "x" * 300 + '", "completion": "y"}\n')
    _, events = run(plan().model_copy(update={"train_path": str(long)}))
    (warning,) = [event for event in of(MessageEvent, events) if event.level == "warning"]
    assert warning.text.startswith("1 of ")
    assert "context of 256 tokens" in warning.text


def test_settings_that_do_not_fit_are_refused(plan):
    with pytest.raises(NotFound, match="unknown method 'lorra'"):
        run(plan(method="lorra"))
    with pytest.raises(InvalidInput, match="'rank' is 0"):
        run(plan(adapter={"rank": 0}))
    with pytest.raises(InvalidInput, match="layers 3 to 1"):
        run(plan(first_layer=3))
    with pytest.raises(InvalidInput, match="has no adapter settings"):
        run(plan(method="full", adapter={"rank": 4}))


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"step": 1})

    def fill_the_disk(path):
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageFailed, match="No space left on device"):
        write_whole(checkpoints.path, fill_the_disk)
    assert checkpoints.load() == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_bf16_arithmetic_gives_nearly_the_same_losses(plan):
    losses = []
    for name, dtype in [("fp32", "float32"), ("bf16", "bfloat16")]:
        _, events = run(plan(name, dtype=dtype, adapter={"dropout": 0.0}))
        losses.append([event.loss for event in of(StepEvent, events)])
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert not math.isnan(losses[1][-1])
