"""Layers that are computed again give what kept ones give, to the last bit, for less memory."""

from pathlib import Path

import pytest
import torch

from fettle.adapters.files import load_adapter
from fettle.errors import InvalidInput
from fettle.testing.foreign import foreign_model
from fettle.testing.training import toy_rows
from fettle.tuning.methods import trainee_for
from fettle.tuning.sweep import tune_jointly
from fettle.tuning.tune import tune
from fettle.types.tuning import StepEvent, TuningPlan


def losses(plan: TuningPlan) -> list[tuple[float, float]]:
    events: list = []
    tune(plan, events.append)
    return [(event.loss, event.gradient_norm) for event in events if isinstance(event, StepEvent)]


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("lora", {"adapter": {"dropout": 0.3}}),
        ("lora", {"top_fraction": 0.5}),
        ("prefix", {}),
        ("dpo", {}),
        ("full", {}),
    ],
)
def test_a_run_is_the_same(method, settings, plan):
    kept = losses(plan("kept", method=method, **settings))
    again = losses(plan("again", method=method, gradient_checkpointing=True, **settings))
    assert again == kept


def test_runs_in_step_draw_the_same_dropout_again(plan):
    """Each has random numbers of its own, of which torch knows nothing."""

    def adapters(gradient_checkpointing: bool) -> list[dict[str, torch.Tensor]]:
        fixed = {"adapter": {"dropout": 0.3}, "epochs": 1, "gradient_checkpointing": gradient_checkpointing}
        plans = [plan(f"{gradient_checkpointing}-{seed}", seed=seed, **fixed) for seed in (1, 2)]
        results: dict = {}
        tune_jointly(plans, lambda number, event: None, results.__setitem__)
        assert results.keys() == {0, 1}
        return [load_adapter(Path(one.output_path)).named_parameters() for one in plans]

    for kept, again in zip(adapters(False), adapters(True), strict=True):
        torch.testing.assert_close(again, kept, rtol=0, atol=0)


def kept_bytes(plan: TuningPlan) -> int:
    """What is held between the passes, each storage once."""
    trainee = trainee_for(plan.spec, Path(plan.base_path), torch.float32)
    ours = {value.untyped_storage().data_ptr() for value in trainee.decoder.parameters()}
    sizes = {}

    def pack_(value: torch.Tensor) -> torch.Tensor:
        sizes[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    rows = toy_rows(32)
    with torch.autograd.graph.saved_tensors_hooks(pack_, lambda value: value):
        loss = trainee.loss(rows.pack(range(32)))
    assert loss.terms.requires_grad
    return sum(size for storage, size in sizes.items() if storage not in ours)


def test_less_is_kept(plan):
    assert kept_bytes(plan("again", gradient_checkpointing=True)) < 0.5 * kept_bytes(plan("kept"))


def test_other_modules_are_refused(plan, tmp_path):
    spec = plan(gradient_checkpointing=True, adapter={"target_modules": ["c_fc"]}).spec
    with pytest.raises(InvalidInput, match="cannot be computed again"):
        trainee_for(spec, foreign_model(tmp_path / "gpt2", "gpt2"), torch.float32)
