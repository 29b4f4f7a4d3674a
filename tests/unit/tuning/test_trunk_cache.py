"""Frozen lower layers are computed once, and nothing else changes."""

import errno
import multiprocessing
import os
import shutil
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fettle.tuning.methods import trainee_for
from fettle.tuning.objectives.next_token import NextToken
from fettle.tuning.trunk import above_trunk
from fettle.tuning.trunk_store import Cut, TrunkStore, make_room
from fettle.tuning.tune import load_material, tune
from fettle.types.tuning import EvaluationEvent, MessageEvent, StepEvent


def quiet(event):
    pass


@pytest.fixture
def cached(plan, tmp_path):
    """Makes a plan that trains the upper of two layers and keeps what the lower one makes."""

    def make(name="cached", **settings):
        made = plan(name, **{"first_layer": 1, "adapter": {"dropout": 0.0}, **settings})
        return made.model_copy(update={"cache_path": str(tmp_path / "cache")})

    return make


def losses(events):
    return [event.loss for event in events if isinstance(event, StepEvent)] + [
        event.validation.loss for event in events if isinstance(event, EvaluationEvent)
    ]


def said(events):
    return [event.text for event in events if isinstance(event, MessageEvent) and event.code == "trunk_cache"]


@pytest.mark.parametrize("method", ["lora", "tfew", "full", "dpo"])
def test_the_losses_are_those_of_computing_everything(method, plan, cached):
    adapter = {"dropout": 0.0} if method in ("lora", "dpo") else {}
    plain, fast = [], []
    tune(plan("plain", method, adapter, first_layer=1), plain.append)
    tune(cached("fast", method=method, adapter=adapter), fast.append)
    assert said(fast)
    assert losses(fast) == pytest.approx(losses(plain), rel=1e-5)


def test_gradients_are_those_of_computing_everything(plan, cached, base):
    made, gradients = cached(), []
    for through in (lambda m, t: nullcontext(m), lambda m, t: above_trunk(m, t, made, quiet)):
        trainee = trainee_for(made.spec, base, torch.float32)
        with through(load_material(made, NextToken(), quiet), trainee) as material:
            batch = material.train.pack([3, 0, 7])
        trainee.loss(batch).terms.sum().backward()
        gradients.append(torch.cat([value.grad.flatten() for value in trainee.parameters.values()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)


def test_in_bf16_the_states_are_kept_bit_by_bit(cached, base):
    made = cached(dtype="bfloat16")
    trainee = trainee_for(made.spec, base, torch.bfloat16)
    material = load_material(made, NextToken(), quiet)
    expected = trainee.loss(material.train.pack([2])).terms
    with above_trunk(material, trainee, made, quiet) as above:
        found = trainee.loss(above.train.pack([2])).terms
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=0)


def test_the_next_job_on_the_same_rows_computes_nothing_below(cached, monkeypatch):
    first, second = [], []
    tune(cached("first"), first.append)
    monkeypatch.setattr("fettle.models.decoder.Decoder.below", None)
    tune(cached("second", learning_rate=0.01), second.append)
    assert said(second) == [said(second)[0]]
    assert "0.0 MiB" in said(second)[0]
    assert losses(second)[0] == losses(first)[0]


def test_the_lower_layers_leave_the_memory(cached, base):
    made = cached()
    trainee = trainee_for(made.spec, base, torch.float32)
    with above_trunk(load_material(made, NextToken(), quiet), trainee, made, quiet):
        pass
    assert isinstance(trainee.decoder.model.layers[0], nn.Identity)
    assert not isinstance(trainee.decoder.model.layers[1], nn.Identity)


@pytest.mark.parametrize("settings", [{"first_layer": 0}, {"trunk_cache_gib": 0}])
def test_where_there_is_nothing_to_gain_nothing_is_kept(cached, settings, tmp_path):
    events = []
    tune(cached(**settings), events.append)
    assert not said(events)
    assert not (tmp_path / "cache").exists()


def test_what_does_not_fit_is_said_and_computed_in_every_epoch(plan, cached):
    plain, tight = [], []
    tune(plan("plain", adapter={"dropout": 0.0}, first_layer=1), plain.append)
    tune(cached("tight", trunk_cache_gib=1e-6), tight.append)
    assert "trunk_cache_gib=1e-06" in said(tight)[0]
    assert losses(tight) == losses(plain)


def test_a_full_disk_is_said_and_costs_only_time(cached, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(TrunkStore, "append", full)
    events = []
    assert tune(cached(), events.append).steps
    assert "no space left" in said(events)[0]


def cut_of(base, layer=1):
    return Cut(Path(base), torch.float32, torch.float32, layer, 4)


def test_a_torn_write_is_cut_off(base, tmp_path):

    with closing(TrunkStore(tmp_path, cut_of(base))) as store:
        check_torn(store, tmp_path)


def check_torn(store, folder):
    states = np.arange(12, dtype=np.float32).reshape(3, 4)
    store.append([b"a" * 16, b"b" * 16], np.array([1, 2]), states)
    for name in ("states.bin", "entries.bin"):
        with (folder / store.cut.name / name).open("ab") as file:
            file.write(b"torn!")
    assert store.entries() == {b"a" * 16: 0, b"b" * 16: 1}
    store.append([b"c" * 16], np.array([1]), states[:1] + 100)
    assert store.entries()[b"c" * 16] == 3
    assert store.states().tolist() == [*states.tolist(), (states[0] + 100).tolist()]


def test_the_oldest_store_that_nobody_uses_makes_room(base, tmp_path):

    stores = [TrunkStore(tmp_path, cut_of(base, layer)) for layer in (1, 2, 3)]
    for age, store in enumerate(stores):
        store.append([b"a" * 16], np.array([1000]), np.zeros((1000, 4), np.float32))
        os.utime(tmp_path / store.cut.name / "in_use", (age, age))
    stores[1].close()
    stores[2].close()
    assert make_room(tmp_path, 10_000, limit=45_000)
    assert [(tmp_path / store.cut.name).exists() for store in stores] == [True, False, True]
    assert not make_room(tmp_path, 40_000, limit=45_000)
    assert (tmp_path / stores[0].cut.name).exists()
    stores[0].close()


def test_other_weights_of_the_same_path_are_another_store(base, tmp_path):

    copy = shutil.copytree(base, tmp_path / "copy")
    before = cut_of(copy).name
    assert cut_of(copy).name == before != cut_of(copy, layer=2).name
    os.utime(next(copy.glob("*.safetensors")), (1, 1))
    assert cut_of(copy).name != before


def append_one(folder, base, number):

    with closing(TrunkStore(folder, cut_of(base))) as store:
        for turn in range(20):
            write_one(store, number, turn)


def write_one(store, number, turn):
    with store.locked():
        store.append([bytes([number, turn] * 8)], np.array([1]), np.full((1, 4), number * 100 + turn, np.float32))


def test_processes_that_write_at_once_lose_nothing(base, tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append_one, args=(tmp_path, base, number)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with closing(TrunkStore(tmp_path, cut_of(base))) as store:
        entries, states = store.entries(), store.states()
    assert len(entries) == 40
    for number in (1, 2):
        for turn in range(20):
            assert states[entries[bytes([number, turn] * 8)]][0] == number * 100 + turn
