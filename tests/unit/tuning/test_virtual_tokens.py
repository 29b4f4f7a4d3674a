"""Prompt and prefix tuning: the losses and gradients are PEFT's, and what was learned is served as it was trained."""

from pathlib import Path

import peft
import pytest
import torch
import torch.nn.functional as F
import transformers

from fettle.adapters.adapter import Adapter
from fettle.adapters.files import FORMATS, load_adapter
from fettle.data.choice_rows import Alternatives, pack_choices
from fettle.data.packing import pack
from fettle.data.template import Encoded
from fettle.errors import InvalidInput
from fettle.serving import Engine, EngineSettings
from fettle.tuning.forward import hidden
from fettle.tuning.methods import trainee_for
from fettle.tuning.objectives.next_token import NextToken
from fettle.tuning.tune import load_material, tune
from fettle.types.generation import GenerateRequest, SamplingParams
from fettle.types.tuning import MessageEvent

METHODS = ["prompt", "prefix"]


def quiet(event):
    """Nobody listens."""


def their_loss(model, batch):
    """Summed over the scored tokens, each row alone."""
    total, start = torch.zeros(()), 0
    at, targets = torch.from_numpy(batch.at), torch.from_numpy(batch.targets)
    for length in batch.lengths:
        tokens = torch.from_numpy(batch.tokens[start : start + length])
        logits = model(input_ids=tokens[None]).logits[0, -length:]
        here = (at >= start) & (at < start + length)
        total = total + F.cross_entropy(logits[at[here] - start], targets[here], reduction="sum")
        start += length
    return total


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_and_its_gradients_are_those_of_peft(method, plan, base, tmp_path):
    made = plan(method=method, adapter={"num_virtual_tokens": 5})
    trainee = trainee_for(made.spec, base, torch.float32)
    batch = load_material(made, NextToken(), quiet).train.pack([0, 1, 2, 3])
    trainee.write(tmp_path / "adapter", base=base, name="tiny")
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(model, tmp_path / "adapter")
    (their_rows,) = theirs.prompt_encoder.parameters()
    their_rows.requires_grad_()

    loss = trainee.loss(batch).terms.sum()
    loss.backward()
    expected = their_loss(theirs, batch)
    expected.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    adapter = trainee.adapter
    gradients = Adapter(method, adapter.config, {}, {name: value.grad for name, value in adapter.virtual.items()})
    _, rows = FORMATS[method].written(gradients)
    assert their_rows.grad.abs().max() > 1e-2
    torch.testing.assert_close(rows["prompt_embeddings"], their_rows.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_learned_is_served_as_it_was_trained(method, plan, base):
    made = plan(method=method, epochs=1, adapter={"num_virtual_tokens": 6, "init_text": "say"})
    tune(made, quiet)
    trainee = trainee_for(made.spec, base, torch.float32)
    learned = load_adapter(Path(made.output_path)).virtual
    with torch.no_grad():
        for name, value in trainee.adapter.virtual.items():
            assert not torch.equal(value, learned[name])
            value.copy_(learned[name])
    engine = Engine.load(base, EngineSettings(dtype="float32", block_size=4, num_blocks=40))
    engine.add_adapter("tuned", Path(made.output_path))
    prompt = [60, 61, 62]
    request = GenerateRequest(
        model="any", token_ids=tuple(prompt), sampling=SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
    )

    ((answer,),) = engine.generate([request], adapter="tuned")

    assert list(answer.token_ids) == greedy(trainee, prompt, 8)


@torch.no_grad()
def greedy(trainee, prompt, count):
    tokens = list(prompt)
    for _ in range(count):
        row = pack([Encoded(tokens, [True] * len(tokens))])
        with trainee.bank.route([(trainee.slot, len(tokens))]):
            states = hidden(trainee.decoder, row, trainee.virtual())
        tokens.append(int(trainee.decoder.head(states[len(tokens) - 1 : len(tokens)]).argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("method", METHODS)
def test_inside_untuned_nothing_comes_before_a_row(method, plan, base):
    trainee = trainee_for(plan(method=method).spec, base, torch.float32)
    with trainee.untuned(4):
        assert trainee.virtual() is None
    with trainee.bank.route([(trainee.slot, 4)]):
        assert trainee.virtual().count == 20


@pytest.mark.parametrize("method", METHODS)
def test_bf16_arithmetic_gives_nearly_the_same_loss(method, plan, base):
    batch = pack_choices([Alternatives([5, 6, 7, 8], [[20, 21], [22]]), Alternatives([12], [[30, 31, 32]])])
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        trainee = trainee_for(plan(method=method).spec, base, dtype)
        loss = trainee.loss(batch).terms.sum()
        loss.backward()
        assert all(value.grad.isfinite().all() for value in trainee.parameters.values())
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_rows_that_leave_no_room_for_the_virtual_tokens_are_left_out(plan, rows, tmp_path):
    long = tmp_path / "long.jsonl"
    long.write_text(rows.read_text() + '{"prompt": "' + "x" * 180 + '", "completion": "y"}\n')
    told = []
    for count in (20, 100):
        made = plan(method="prompt", adapter={"num_virtual_tokens": count}, validation_fraction=0)
        material = load_material(made.model_copy(update={"train_path": str(long)}), NextToken(), told.append)
        assert len(material.train) == (61 if count == 20 else 60)
    (warning,) = [event for event in told if isinstance(event, MessageEvent) and event.code == "rows_too_long"]
    assert "context of 156 tokens" in warning.text


@pytest.mark.parametrize("settings", [{"top_fraction": 0.5}, {"first_layer": 1}, {"unfreeze_per_epoch": 1}])
def test_layers_are_not_chosen_for_what_acts_on_all(settings, plan, base):
    with pytest.raises(InvalidInput, match="acts on all layers at once, but got") as told:
        trainee_for(plan(method="prefix", **settings).spec, base, torch.float32)
    assert told.value.param in settings


def test_settings_of_layers_are_no_settings_of_virtual_tokens(plan, base):
    with pytest.raises(InvalidInput, match="target_modules"):
        trainee_for(plan(method="prompt", adapter={"target_modules": ["q_proj"]}).spec, base, torch.float32)
