"""Training goes on with a custom model as it was, and not with one that it does not fit."""

from pathlib import Path

import pytest
import torch

from fettle.adapters.files import load_adapter
from fettle.adapters.methods import METHODS
from fettle.errors import InvalidInput
from fettle.tuning.methods import trainee_for
from fettle.tuning.tune import tune
from fettle.types.tuning import EvaluationEvent

ADAPTERS = [name for name, method in METHODS.items() if method.kind and name not in ("qlora", "dpo")]


@pytest.mark.parametrize("method", ADAPTERS)
def test_it_begins_with_the_parameters_that_were_learned(method, plan):
    earlier = plan("earlier", method=method, epochs=1)
    tune(earlier, lambda _: None)
    folder = Path(earlier.output_path)
    trainee = trainee_for(earlier.spec, Path(earlier.base_path), torch.float32, folder)
    torch.testing.assert_close(
        {name: value.detach() for name, value in trainee.parameters.items()}, load_adapter(folder).named_parameters()
    )
    assert all(value.requires_grad for value in trainee.parameters.values())


def test_it_is_better_than_one_that_begins_anew(plan):
    def first_loss(name: str, continues: str | None) -> float:
        events: list = []
        made = plan(name, epochs=1, early_stopping={"patience": 0})
        tune(made.model_copy(update={"continues_path": continues}), events.append)
        return next(event.validation.loss for event in events if isinstance(event, EvaluationEvent))

    earlier = plan("earlier", epochs=6)
    tune(earlier, lambda _: None)
    assert first_loss("later", earlier.output_path) < 0.9 * first_loss("anew", None)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": "tfew"}, "it is lora, and the new one ia3"),
        ({"adapter": {"rank": 4}}, "its rank is 32, and that of the new one 4"),
        ({"adapter": {"alpha": 3}}, "its alpha is 16.0, and that of the new one 3.0"),
        ({"top_fraction": 0.5}, "it is at 14 linear layers, and the new one at 7"),
    ],
)
def test_what_does_not_fit_is_refused(changed, said, plan):
    earlier = plan("earlier", epochs=1)
    tune(earlier, lambda _: None)
    later = plan("later", **changed).model_copy(update={"continues_path": earlier.output_path})
    with pytest.raises(InvalidInput, match=said):
        tune(later, lambda _: None)
