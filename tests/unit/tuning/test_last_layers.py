"""Transfer learning: the top layers' weights, and more of them with every epoch."""

from pathlib import Path

import pytest
import torch

from fettle.adapters.inject import layer_number
from fettle.models.loading import load_decoder
from fettle.testing.models import tiny_model
from fettle.tuning.methods import trainee_for
from fettle.tuning.tune import tune
from fettle.types.tuning import Hyperparameters, MessageEvent


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("deep"), num_hidden_layers=8)


def changed_layers(plan, deep):
    events = []
    tune(plan.model_copy(update={"base_path": str(deep)}), events.append)
    assert not [e for e in events if isinstance(e, MessageEvent) and e.level != "info"]
    before = dict(load_decoder(deep, dtype=torch.bfloat16).named_parameters())
    after = dict(load_decoder(Path(plan.output_path), dtype=torch.bfloat16).named_parameters())
    return {layer_number(name) for name in before if not torch.equal(before[name], after[name])}


def test_the_top_quarter_is_trained(plan, deep):
    assert changed_layers(plan(method="last-layers"), deep) == {6, 7}


def test_other_layers_can_be_named(plan, deep):
    assert changed_layers(plan(method="last-layers", top_fraction=0.125), deep) == {7}


def test_every_epoch_trains_more_layers_and_the_embeddings_never(plan, deep):
    made = plan(method="last-layers", epochs=3, unfreeze_per_epoch=2, early_stopping={"patience": 0})
    assert changed_layers(made, deep) == {2, 3, 4, 5, 6, 7}


@pytest.mark.parametrize("method", ["last-layers", "lora"])
def test_in_an_epoch_only_its_own_layers_have_gradients(method, plan, deep):
    spec = plan(method=method, epochs=3, unfreeze_per_epoch=3, top_fraction=0.25).spec
    trainee = trainee_for(spec, deep, torch.float32)
    learner = trainee.learner(spec.hyperparameters.model_copy(update={"learning_rate": 0.01}))
    for epoch, lowest in enumerate((6, 3, 0)):
        learner.begin_epoch(epoch)
        trained = {layer_number(name) for name, value in trainee.parameters.items() if value.requires_grad}
        assert trained == set(range(lowest, 8))


def test_the_lowest_layer_of_the_last_epoch_is_where_the_trunk_ends(plan, deep):
    spec = plan(method="last-layers", epochs=2, unfreeze_per_epoch=3).spec
    assert trainee_for(spec, deep, torch.float32).first_layer == 3


def test_there_are_no_layers_below_the_first():
    assert Hyperparameters(first_layer=2, unfreeze_per_epoch=3).layers_in(4, 8) == range(8)


def test_a_run_that_is_cut_off_goes_on_with_the_layers_of_its_epoch(plan, deep):
    class CutOffError(Exception):
        pass

    def until(step):
        def emit(event):
            if getattr(event, "step", 0) == step:
                raise CutOffError

        return emit

    settings = {"method": "last-layers", "epochs": 3, "unfreeze_per_epoch": 2, "checkpoint_interval": 2}
    files = []
    for name, cuts in (("whole", ()), ("cut", (3, 9))):
        made = plan(name, **settings).model_copy(update={"base_path": str(deep)})
        for cut in cuts:
            with pytest.raises(CutOffError):
                tune(made, until(cut))
        tune(made, lambda event: None)
        files.append((Path(made.output_path) / "model.safetensors").read_bytes())
    assert files[0] == files[1]
