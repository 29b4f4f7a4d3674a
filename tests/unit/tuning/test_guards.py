"""Runs that would look fine and teach nothing, or something else, are refused or told with their numbers."""

import json

import pytest
import torch

from fettle.data.packing import EncodedRows
from fettle.data.template import Encoded
from fettle.errors import InvalidInput, TrainingFailed
from fettle.testing.models import tiny_model
from fettle.testing.training import ToyLearner, toy_run
from fettle.tuning.guards import check_rows, check_trained
from fettle.tuning.methods import AdapterTrainee, trainee_for
from fettle.tuning.objectives.next_token import NextToken
from fettle.tuning.tune import load_material, tune
from fettle.types.tuning import MessageEvent

END = 9


def row(*, is_scored=True, ends=True):
    return Encoded([1, 2, 3, END if ends else 4], [False, False, is_scored, is_scored])


def told(rows, end_ids=(END,)):
    events = []
    check_rows(EncodedRows(rows), "training", events.append, end_ids=end_ids)
    return [(event.code, event.text) for event in events]


def by_code(events, code):
    return [event.text for event in events if isinstance(event, MessageEvent) and event.code == code]


def test_rows_whose_labels_are_all_masked_have_a_loss_of_nothing_and_are_refused():
    masked = [row(is_scored=False)] * 3
    assert NextToken().counts(EncodedRows(masked).pack(range(3))) == (0,)
    with pytest.raises(InvalidInput, match="none of the 3 training rows has a token to learn"):
        told(masked)


def test_some_rows_without_a_learned_token_are_told_with_their_number():
    rows = [row(), row(is_scored=False), row(), row(is_scored=False), row(is_scored=False)]
    assert told(rows) == [
        ("rows_without_answer", "3 of 5 training rows have no token to learn and teach nothing"),
    ]


def test_a_row_whose_only_scored_token_is_its_first_teaches_nothing():
    first_only = Encoded([1, 2], [True, False])
    assert told([row(), first_only])[0][1].startswith("1 of 2 training rows")


def test_rows_of_a_single_learned_token_each_count_as_learned():
    assert told([Encoded([1, END], [False, True])] * 3) == []


def test_the_count_is_right_over_many_batches():
    rows = [row(is_scored=number % 3 > 0) for number in range(40_000)]
    assert told(rows)[0][1].startswith("13,334 of 40,000 training rows")


def test_answers_that_never_end_are_told():
    assert told([row(ends=False)] * 4) == [
        (
            "no_end_learned",
            "none of the 8 learned tokens of 4 training rows ends an answer: the model will not learn when to stop",
        )
    ]
    assert told([row(ends=False)] * 4, end_ids=None) == []
    assert told([row(ends=False)] * 3 + [row()]) == []


def test_a_model_without_an_end_token_is_told_before_it_is_trained(plan, tmp_path):
    endless = tiny_model(tmp_path / "endless", eos_token_id=None)
    path = endless / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"eos_token": None, "chat_template": None}))
    events = []
    made = plan().model_copy(update={"base_path": str(endless)})
    material = load_material(made, NextToken(), events.append)
    assert bytes(material.train.row(0).token_ids[-1:])  # The row ends with a letter of the answer.
    (text,) = by_code(events, "no_end_learned")
    assert "will not learn when to stop" in text


@pytest.mark.parametrize("method", ["lora", "tfew", "full"])
def test_nothing_is_suspicious_of_an_ordinary_run(method, plan):
    events = []
    tune(plan(method=method, epochs=1), events.append)
    assert [event.code for event in events if isinstance(event, MessageEvent)] == ["best"]


def test_an_adapter_that_is_trained_but_not_applied_ends_the_run(plan, base, tmp_path):
    class Unapplied(AdapterTrainee):
        def loss(self, batch):
            with self.arithmetic(), self.untuned(len(batch.tokens)):
                return self.objective.loss(self, batch)

    trainee = trainee_for(plan().spec, base, torch.float32)
    trainee.__class__ = Unapplied
    toy = ToyLearner()
    toy.learner = trainee.learner(plan(learning_rate=0.1).spec.hyperparameters)
    with pytest.raises(TrainingFailed, match=r"none of the \d+ trained parameters has had a gradient in 10 steps"):
        toy_run(toy, tmp_path, num_steps=20, has_validation=False).run()


def test_a_parameter_without_gradient_is_told_by_name(tmp_path):
    toy, events = ToyLearner(), []
    toy.learner.parameters["idle"] = torch.ones(3, requires_grad=True)
    toy_run(toy, tmp_path, events.append).run()
    (text,) = by_code(events, "no_gradient")
    assert text.startswith("1 of 2 trained parameters have had no gradient in 10 steps")
    assert text.endswith("for example idle")


def test_more_that_is_trained_than_was_asked_is_refused(plan, base):
    trainee = trainee_for(plan().spec, base, torch.float32)
    learner = trainee.learner(plan(learning_rate=0.1).spec.hyperparameters)
    check_trained(learner, trainee.decoder)
    trainee.decoder.model.norm.weight.requires_grad_()
    with pytest.raises(TrainingFailed, match=r"1 parameters would be trained unasked, for example model\.norm\.weight"):
        check_trained(learner, trainee.decoder)


def test_less_that_is_trained_than_was_asked_is_refused(plan, base):
    trainee = trainee_for(plan().spec, base, torch.float32)
    learner = trainee.learner(plan(learning_rate=0.1).spec.hyperparameters)
    next(iter(learner.parameters.values())).requires_grad_(False)
    with pytest.raises(TrainingFailed, match="1 parameters would not be trained though asked"):
        check_trained(learner, trainee.decoder)
    learner.optimizers = []
    with pytest.raises(TrainingFailed, match=f"{len(learner.parameters)} parameters would not be trained"):
        check_trained(learner, trainee.decoder)


def test_a_method_that_trains_nothing_is_refused(plan, base):
    trainee = trainee_for(plan().spec, base, torch.float32)
    learner = trainee.learner(plan(learning_rate=0.1).spec.hyperparameters)
    learner.parameters = {}
    with pytest.raises(TrainingFailed, match="there is no parameter to train"):
        check_trained(learner, trainee.decoder)
