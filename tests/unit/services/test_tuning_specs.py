"""A custom model in the place of a base model: tuning goes on with it."""

import pytest

from fettle.errors import FettleError, InvalidInput, NotFound
from fettle.types.tuning import Hyperparameters, TuningSpec


@pytest.fixture
def tickets(platform, rows):
    """A custom model, tuned with settings that are not the method's own."""
    settings = Hyperparameters(top_fraction=0.5, learning_rate=0.5)
    spec = TuningSpec(base="small", method="lora", name="tickets", adapter={"rank": 4}, hyperparameters=settings)
    return platform.tuning_jobs.run(platform.tuning_jobs.create(spec, rows("go")).id)


def test_base_adapter_and_layers_stay_and_the_rest_is_as_it_is_asked_for(platform, rows, tickets):
    asked = TuningSpec(base="tickets", method="lora", name="tickets", adapter={"dropout": 0.2})
    job = platform.tuning_jobs.create(asked, rows("go"))
    spec = job.spec
    assert (spec.base, spec.continues) == ("small", "tickets:1")
    assert (spec.adapter["rank"], spec.adapter["dropout"]) == (4, 0.2)
    assert spec.hyperparameters.top_fraction == 0.5
    assert spec.hyperparameters.learning_rate != 0.5
    assert platform.tuning_jobs.resolved(spec) == spec
    made = platform.tuning_jobs.run(job.id)
    assert made.full_name == "tickets:2"
    assert "tickets:1" in platform.custom_models.card(made)


def test_the_worker_is_told_where_the_earlier_adapter_is(platform, rows, tickets):
    spec = TuningSpec(base="tickets:1", method="lora", name="more")
    job = platform.tuning_jobs.create(spec, rows("continues"))
    told = platform.tuning_jobs.run(job.id)
    expected = f"weights of {platform.custom_models.path(tickets)}".encode()
    assert (platform.custom_models.path(told) / "adapter_model.safetensors").read_bytes() == expected


def test_other_layers_can_be_asked_for_and_are_refused_where_the_files_are_known(platform, tickets):
    spec = TuningSpec(base="tickets", method="lora", name="x", hyperparameters=Hyperparameters(first_layer=1))
    assert platform.tuning_jobs.resolved(spec).hyperparameters.top_fraction is None


def test_a_method_that_does_not_train_its_kind_is_refused(platform, rows, tickets):
    spec = TuningSpec(base="tickets", method="tfew", name="x")
    with pytest.raises(InvalidInput, match="kind lora, which method 'tfew' does not train") as caught:
        platform.tuning_jobs.create(spec, rows("go"))
    assert "lora" in caught.value.hint


def test_whole_weights_are_refused_with_another_way(platform, rows):
    spec = TuningSpec(base="small", method="full", name="whole")
    platform.tuning_jobs.run(platform.tuning_jobs.create(spec, rows("go")).id)
    with pytest.raises(InvalidInput, match="whole:1 is no adapter"):
        platform.tuning_jobs.create(TuningSpec(base="whole", method="lora", name="x"), rows("go"))


def test_a_model_that_is_gone_when_its_turn_comes_is_named(platform, rows, tickets):
    job = platform.tuning_jobs.create(TuningSpec(base="tickets", method="lora", name="x"), rows("go"))
    platform.custom_models.delete("tickets:1")
    with pytest.raises(FettleError, match="tickets:1"):
        platform.tuning_jobs.run(job.id)
    assert platform.tuning_jobs.get(job.id).state == "failed"


def test_nobodys_name_is_told_as_before(platform, rows):
    with pytest.raises(NotFound, match="unknown base model 'smal'"):
        platform.tuning_jobs.create(TuningSpec(base="smal", method="lora", name="x"), rows("go"))
    with pytest.raises(NotFound, match="unknown custom model 'gone'"):
        platform.tuning_jobs.create(TuningSpec(base="small", method="lora", name="x", continues="gone"), rows("go"))
