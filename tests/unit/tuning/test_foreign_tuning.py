"""Families that only `transformers` has are tuned by every method, in the loop that tunes all others."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import transformers

from fettle.adapters.bank import AdapterBank
from fettle.adapters.classifiers import methods_of
from fettle.adapters.files import load_adapter
from fettle.adapters.inject import inject
from fettle.data.packing import pack
from fettle.data.template import Encoded
from fettle.errors import InvalidInput
from fettle.models.loading import load_decoder
from fettle.testing.foreign import foreign_model
from fettle.tuning.methods import trainee_for
from fettle.tuning.objectives.scores import token_scores
from fettle.tuning.tune import tune
from fettle.types.foreign import FOREIGN
from fettle.types.tuning import EvaluationEvent, StepEvent
from tests.unit.tuning.test_joint import alone, assert_same_run, in_step


@pytest.fixture
def tuned(plan, tmp_path):
    """Tunes a family; the folder that was written, and the losses on held-out rows."""

    def run(family: str, method: str, **settings) -> tuple[Path, Path, list[float]]:
        base = foreign_model(tmp_path / family, family)
        config = methods_of(family)[method].adapter_config({})
        adapter = config.model_dump(mode="json") if config else {}
        made, events = plan(method, method=method, adapter=adapter, epochs=4, **settings), []
        made = made.model_copy(update={"base_path": str(base)})
        tune(made, events.append)
        losses = [event.validation.loss for event in events if isinstance(event, EvaluationEvent)]
        return base, Path(made.output_path), losses

    return run


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "phi3", "granite", "mixtral", "gemma3_text"])
def test_lora_lowers_the_loss_and_loads_again(family, tuned):
    base, folder, losses = tuned(family, "lora")

    assert losses[-1] < 0.9 * losses[0]
    sites = {site.name for site in inject(load_decoder(base), AdapterBank())}
    assert set(load_adapter(folder).sites) <= sites


@pytest.mark.parametrize("method", ["tfew", "adapter", "prefix", "prompt", "dpo"])
def test_every_method_runs(method, tuned):
    rates = {"prompt": 0.3, "prefix": 0.03}
    _, folder, losses = tuned("gpt_neox", method, **({"learning_rate": rates[method]} if method in rates else {}))

    assert losses[-1] < losses[0]
    assert load_adapter(folder).named_parameters()


@pytest.mark.parametrize(("method", "settings"), [("full", {}), ("last-layers", {"first_layer": 2})])
def test_whole_weights_are_tuned_and_written(method, settings, tuned):
    base, folder, losses = tuned("gpt2", method, **settings)

    assert losses[-1] < 0.9 * losses[0]
    before, after = (dict(load_decoder(path).named_parameters()) for path in (base, folder))
    moved = {name for name, value in after.items() if (value - before[name].bfloat16().float()).abs().max() > 1e-3}
    assert moved
    assert method == "full" or all(".h.2." in name or ".h.3." in name for name in moved)


@pytest.mark.parametrize("family", ["cohere", "gemma2", "gpt_neox", "granite", "phi"])
def test_the_loss_is_that_of_transformers(family, tmp_path):
    folder = foreign_model(tmp_path, family)
    tokens = [[*range(40, 60)], [*range(70, 79)]]
    batch = pack([Encoded(row, [True] * len(row)) for row in tokens])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")

    nll = token_scores(load_decoder(folder), batch).nll

    rows = [torch.tensor([row]) for row in tokens]
    expected = [F.cross_entropy(theirs(row).logits[0, :-1], row[0, 1:], reduction="none") for row in rows]
    assert (nll - torch.cat(expected)).abs().max() < 1e-4


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_runs_in_step_are_what_they_would_be_alone(family, plan, tmp_path):
    def plans(name: str):
        adapter = {"rank": 4, "target_modules": FOREIGN[family].linear}
        made = [plan(f"{name}-{rate}", adapter=adapter, learning_rate=rate, epochs=1) for rate in (1e-3, 4e-3)]
        return [one.model_copy(update={"base_path": str(base)}) for one in made]

    base = foreign_model(tmp_path / "base", family)
    together, apart = plans("together"), plans("apart")

    _, events = in_step(together)

    for number, one in enumerate(apart):
        _, expected = alone(one)
        assert_same_run(together[number], events[number], one, expected)


def test_the_trunk_cache_changes_no_loss(plan, tmp_path):
    base = foreign_model(tmp_path / "base", "gpt_neox")
    losses = {}
    for name, cache in (("cached", str(tmp_path / "cache")), ("plain", None)):
        adapter = {"target_modules": FOREIGN["gpt_neox"].linear}
        made = plan(name, adapter=adapter, first_layer=2).model_copy(
            update={"base_path": str(base), "cache_path": cache}
        )
        losses[name] = [event.loss for event in alone(made)[1] if isinstance(event, StepEvent)]

    assert list((tmp_path / "cache").rglob("*")), "states were kept"
    assert losses["cached"] == pytest.approx(losses["plain"], rel=1e-4)


def test_shares_of_its_weights_are_refused(plan, tmp_path):
    trainee = trainee_for(plan(method="full").spec, foreign_model(tmp_path / "gpt2", "gpt2"), torch.float32)
    with pytest.raises(InvalidInput, match="cannot be shared out"):
        trainee.shard(is_whole_in_step=False)
