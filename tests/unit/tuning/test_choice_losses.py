"""Losses over several answers to one prompt: the published formulas, number by number."""

import json
from statistics import median

import numpy as np
import pytest
import torch

from fettle.data.choice_rows import Alternatives, ChoiceRows, pack_choices
from fettle.data.examples import load_examples
from fettle.data.template import Template
from fettle.models.loading import load_decoder
from fettle.models.tokenizer import Tokenizer
from fettle.tuning.methods import trainee_for
from fettle.tuning.objectives import answers as answers_module
from fettle.tuning.objectives.preference import Preference
from fettle.tuning.objectives.scores import IGNORED, Scores, token_scores
from fettle.tuning.objectives.tfew import REPOSITORY_EPSILON, TFew
from fettle.tuning.tune import tune
from fettle.types.tuning import EvaluationEvent, PreferenceLoss, TFewLoss

LENGTHS = {2: [[3, 1], [2, 5]], 3: [[1, 2, 3], [4, 1, 1], [2, 2, 2]], 77: [[1 + place % 5 for place in range(77)]]}


@pytest.fixture
def rows(tmp_path):
    """Multiple choice: the animal that was named."""
    return choice_file(tmp_path / "choices.jsonl", [""])


def choice_file(path, beginnings):
    names = ["a cat", "a big dog", "owl"]
    prompts = [f"{beginnings[i % len(beginnings)]}{names[i % 3]}{'!' * (i % 4)} ->" for i in range(48)]
    lines = [{"prompt": prompt, "choices": names, "answer": i % 3} for i, prompt in enumerate(prompts)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


class Fixed:
    """A model whose scored tokens have given negative log-probabilities."""

    decoder = None

    def __init__(self, monkeypatch, nll):
        scores = Scores(nll, torch.zeros(len(nll), dtype=torch.bool))
        monkeypatch.setattr(answers_module, "token_scores", lambda decoder, batch, virtual: scores)

    def virtual(self):
        """No virtual tokens."""


def made(lengths):
    """A batch of answers of these lengths with log-probabilities from a seed, in float64."""
    batch = pack_choices([Alternatives([1, 2], [[3] * length for length in row]) for row in lengths])
    rng = np.random.default_rng(len(lengths))
    logp = [[np.log(rng.uniform(0.05, 0.95, length)) for length in row] for row in lengths]
    flat = np.concatenate([answer for row in logp for answer in row])
    return batch, logp, torch.tensor(-flat, requires_grad=True)


def paper(logp):
    """Equations 1 to 3 of arXiv 2205.05638, a mean over rows."""
    lm = [-np.mean(row[0]) for row in logp]
    ul = [-sum(np.log1p(-np.exp(a)).sum() for a in row[1:]) / sum(len(a) for a in row[1:]) for row in logp]
    beta = [np.array([a.mean() for a in row]) for row in logp]
    ln = [-np.log(np.exp(b[0]) / np.exp(b).sum()) for b in beta]
    return [np.mean(lm), np.mean(ul), np.mean(ln)]


def repository(logp, pad):
    """src/models/EncoderDecoder.py of r-three/t-few, on padded rectangles, and the constant that padding adds."""
    longest, count = max(len(a) for row in logp for a in row), len(logp[0])
    target = np.full((len(logp), count, longest), IGNORED)
    loglikely = np.zeros((len(logp), count, longest))
    for r, row in enumerate(logp):
        for c, answer in enumerate(row):
            target[r, c, : len(answer)] = pad + 1
            loglikely[r, c, : len(answer)] = answer
    gold = target[:, 0] >= 0
    lm = -loglikely[:, 0][gold].sum() / gold.sum()
    masked = loglikely + (target < 0) * -100.0
    masked[:, 0] = -100
    num_wrong = (masked != -100).sum()
    ul = -np.log(1 - np.exp(masked) + 1e-2).sum() / num_wrong
    constant = -np.log1p(1e-2) * (masked == -100).sum() / num_wrong
    beta = loglikely.sum(-1) / (target >= 0).sum(-1)
    ln = np.mean(-np.log(np.exp(beta[:, 0]) / np.exp(beta).sum(-1)))
    return [lm, ul - constant, ln]


@pytest.mark.parametrize("pad", [0, 7])
@pytest.mark.parametrize("num_choices", LENGTHS)
@pytest.mark.parametrize("numerics", ["paper", "repository"])
def test_the_losses_are_the_published_ones(numerics, num_choices, pad, monkeypatch):
    batch, logp, nll = made(LENGTHS[num_choices])
    objective = TFew(TFewLoss(numerics=numerics))
    terms = objective.loss(Fixed(monkeypatch, nll), batch).terms
    means = terms.detach().numpy() / objective.counts(batch)
    np.testing.assert_allclose(means, paper(logp) if numerics == "paper" else repository(logp, pad), rtol=1e-12)


@pytest.mark.parametrize("numerics", ["paper", "repository"])
def test_the_losses_have_the_gradients_of_their_differences(numerics, monkeypatch):
    batch, _, nll = made(LENGTHS[3])

    def total(values):
        return TFew(TFewLoss(numerics=numerics)).loss(Fixed(monkeypatch, values), batch).terms.sum()

    assert torch.autograd.gradcheck(total, (nll,), eps=1e-6, atol=1e-8)


def test_a_weight_of_zero_takes_a_loss_out(monkeypatch):
    batch, _, nll = made(LENGTHS[2])
    terms = TFew(TFewLoss(unlikelihood=0, length_normalized=0)).loss(Fixed(monkeypatch, nll), batch).terms
    assert terms[0] > 0
    assert terms[1:].tolist() == [0, 0]


def test_a_certain_wrong_answer_costs_much_and_not_infinitely(monkeypatch):
    batch, _, _ = made([[1, 1]])
    nll = torch.tensor([1.0, 0.0], requires_grad=True)
    for numerics, most in [("paper", 14), ("repository", -np.log(REPOSITORY_EPSILON) + 1e-6)]:
        terms = TFew(TFewLoss(numerics=numerics)).loss(Fixed(monkeypatch, nll), batch).terms
        terms.sum().backward()
        assert 4 < terms[1] <= most
        assert nll.grad.isfinite().all()


def test_rows_without_wrong_answers_have_the_language_models_loss_only(monkeypatch):
    batch, logp, nll = made([[3], [2]])
    objective = TFew(TFewLoss())
    loss = objective.loss(Fixed(monkeypatch, nll), batch)
    assert loss.terms[0].item() == pytest.approx(-sum(np.mean(row[0]) for row in logp))
    assert loss.terms[1:].tolist() == [0, 0]
    assert (objective.counts(batch), loss.num_ranked) == ((2, 0, 0), 0)


def test_how_often_the_right_answer_is_the_likeliest_is_counted_by_its_mean(monkeypatch):
    batch, _, _ = made([[1, 3], [1, 3]])
    nll = torch.tensor([1.0, 0.5, 0.5, 0.5, 1.0, 2.0, 2.0, 2.0])
    loss = TFew(TFewLoss()).loss(Fixed(monkeypatch, nll), batch)
    assert (loss.num_ranked_first, loss.num_ranked) == (1, 2)


def test_shared_and_repeated_prompts_give_the_same_losses_and_vector_gradients(plan, base, rows):
    made_rows = encoded(base, rows)
    found = []
    for pack in (made_rows.pack, lambda index: pack_choices(repeated(made_rows.row(i) for i in index))):
        trainee = trainee_for(plan(method="tfew").spec, base, torch.float32)
        double(trainee)
        batch = pack([0, 1, 2, 5])
        loss = token_scores_of(trainee, batch)
        loss.sum().backward()
        found.append((loss.detach(), torch.cat([value.grad.flatten() for value in trainee.parameters.values()])))
    (shared, shared_gradients), (copies, copied_gradients) = found
    torch.testing.assert_close(shared, copies, rtol=0, atol=1e-10)
    torch.testing.assert_close(shared_gradients, copied_gradients, rtol=0, atol=1e-10)


def token_scores_of(trainee, batch):
    with trainee.bank.route([(trainee.slot, len(batch.tokens))]):
        return token_scores(trainee.decoder, batch).nll


def repeated(rows):
    return [Alternatives(row.prefix, [answer]) for row in rows for answer in row.answers]


def double(trainee):
    trainee.decoder.double()
    for value in trainee.parameters.values():
        value.data = value.data.double()


def encoded(base, rows):
    template = Template(Tokenizer.load(base))
    return ChoiceRows.of(((example.line, example) for example in load_examples(rows)), template, 256)


def test_tfew_learns_to_choose(plan, rows):
    events = []
    made_plan = plan(method="tfew", epochs=12, learning_rate=0.1).model_copy(update={"train_path": str(rows)})
    tune(made_plan, events.append)
    accuracies = [e.validation.choice_accuracy for e in events if isinstance(e, EvaluationEvent)]
    assert accuracies[-1] == 1.0 > accuracies[0]


def test_tfew_learns_to_choose_with_the_published_optimizer(plan, rows):
    events = []
    settings = {"optimizer": "adafactor", "learning_rate": 0.1, "epochs": 12, "tfew": {"numerics": "repository"}}
    tune(plan(method="tfew", **settings).model_copy(update={"train_path": str(rows)}), events.append)
    assert [e for e in events if isinstance(e, EvaluationEvent)][-1].validation.choice_accuracy == 1.0


def test_the_losses_over_wrong_answers_help_to_choose(plan, rows, tmp_path):
    """The published direction of their effect, on the median of three of the published seeds."""
    held_out = choice_file(tmp_path / "held-out.jsonl", ["", "so ", "so so ", "so so so ", "so so so so "])

    def accuracy(seed, tfew):
        events = []
        settings = {"seed": seed, "tfew": tfew, "epochs": 6, "learning_rate": 0.03, "evaluation_interval": 36}
        paths = {"train_path": str(rows), "validation_path": str(held_out)}
        tune(plan(f"{seed} {tfew}", "tfew", **settings).model_copy(update=paths), events.append)
        return [e for e in events if isinstance(e, EvaluationEvent)][-1].validation.choice_accuracy

    alone = {"unlikelihood": 0, "length_normalized": 0}
    first, together = (median(accuracy(seed, tfew) for seed in (42, 1024, 0)) for tfew in (alone, {}))
    assert together > first + 0.05


def test_preferences_begin_at_a_coin_toss_and_are_learned(plan):
    events = []
    made_plan = plan(method="dpo", epochs=6, learning_rate=0.01, adapter={"dropout": 0.0})
    tune(made_plan, events.append)
    assert events[0].loss == pytest.approx(np.log(2), abs=1e-6)
    evaluations = [event for event in events if isinstance(event, EvaluationEvent)]
    assert evaluations[-1].validation.loss < 0.3
    assert evaluations[-1].validation.choice_accuracy == 1.0


def test_the_preference_loss_is_the_published_one(monkeypatch):
    batch, _, nll = made(LENGTHS[3])
    before = nll.detach() + torch.linspace(-1, 1, len(nll), dtype=nll.dtype)
    found = iter([before, nll])
    monkeypatch.setattr(
        answers_module,
        "token_scores",
        lambda decoder, batch, virtual: Scores(next(found), torch.zeros(len(nll), dtype=torch.bool)),
    )

    class Model:
        decoder = None

        def virtual(self):
            """No virtual tokens."""

        def untuned(self, num_tokens):
            return torch.no_grad()

    objective = Preference(PreferenceLoss(beta=0.3))
    loss = objective.loss(Model(), batch)
    gains = np.bincount(batch.answer_of, weights=(before - nll).detach().numpy())
    pairs = [(0, 1), (0, 2), (3, 4), (3, 5), (6, 7), (6, 8)]
    expected = sum(np.log1p(np.exp(-0.3 * (gains[right] - gains[wrong]))) for right, wrong in pairs)
    assert loss.terms.item() == pytest.approx(expected)
    assert objective.counts(batch) == (6,)


def test_the_untuned_model_is_what_it_was_before(plan, base, preferences):
    trainee = trainee_for(plan(method="dpo").spec, base, torch.float32)
    for value in trainee.parameters.values():
        torch.nn.init.normal_(value)
    batch = encoded(base, preferences).pack([0, 1])
    plain = token_scores(load_decoder(base), batch).nll
    with trainee.untuned(len(batch.tokens)):
        assert torch.equal(token_scores(trainee.decoder, batch).nll, plain)
    assert not torch.allclose(token_scores_of(trainee, batch), plain)
