"""T-Few's three losses: the right answer's, unlikelihood of the wrong ones, and length-normalised choice.

Source: arXiv 2205.05638, equations 1 to 3, and the code beside it, github.com/r-three/t-few.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from fettle.data.choice_rows import ChoiceRows
from fettle.data.examples import Example
from fettle.data.packing import Batch
from fettle.data.template import Template
from fettle.tuning.objectives.answers import AnswerScores, choices_of
from fettle.tuning.objectives.base import Loss, Tuned
from fettle.types.tuning import TFewLoss

#: The code's guard against log 0, which also bounds a wrong token's loss by 4.605.
REPOSITORY_EPSILON = 1e-2
#: The smallest negative log-probability of a wrong token, in nats: at 0 the loss would be infinite.
SMALLEST_NLL = 1e-6


class TFew:
    """L_LM + L_UL + L_LN. Rows without wrong answers have the first of them only, as free text has.

    With the paper's numerics each row's losses weigh the same. With the repository's, L_LM and L_UL are means over all
    tokens of a step, and unlikelihood is -log(1 - p + 0.01). (The code also adds a constant of -0.00995 per position
    that holds no wrong token; it has no gradient and is left out.)
    """

    def __init__(self, settings: TFewLoss) -> None:
        """The losses, weighted and counted as the settings say."""
        self.settings = settings

    def rows(self, examples: Iterable[tuple[int, Example]], template: Template, context: int) -> ChoiceRows:
        """Each prompt once, with all its answers."""
        return ChoiceRows.of(examples, template, context)

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """Rows, and rows with wrong answers; or the right answers' tokens and the wrong ones'."""
        answers = choices_of(batch).answers
        with_wrong = sum(len(row) > 1 for row in answers)
        if self.settings.numerics == "paper":
            return len(answers), with_wrong, with_wrong
        return sum(row[0] for row in answers), sum(sum(row[1:]) for row in answers), with_wrong

    def loss(self, model: Tuned, batch: Batch) -> Loss:
        """The three terms, times their weights."""
        return self.of(AnswerScores.of(model.decoder, choices_of(batch), model.virtual()))

    def of(self, scores: AnswerScores) -> Loss:
        """The loss of answers with these scores, however they were computed."""
        weights = scores.nll_A.new_tensor([1.0, self.settings.unlikelihood, self.settings.length_normalized])
        terms = torch.stack([self._language_modeling(scores), self._unlikelihood(scores), length_normalized(scores)])
        likelihood_A = -scores.nll_A / scores.lengths_A
        return Loss(weights * terms, scores.num_correct, scores.num_right_tokens, *scores.ranking(likelihood_A))

    def _language_modeling(self, scores: AnswerScores) -> Tensor:
        right = scores.nll_A[scores.right_A]
        return (right / scores.lengths_A[scores.right_A]).sum() if self.settings.numerics == "paper" else right.sum()

    def _unlikelihood(self, scores: AnswerScores) -> Tensor:
        epsilon = 0.0 if self.settings.numerics == "paper" else REPOSITORY_EPSILON
        wrong_N = torch.where(scores.right_N, 0.0, unlikelihood(scores.tokens.nll, epsilon))
        if self.settings.numerics == "repository":
            return wrong_N.sum()
        totals = scores.by_row(scores.sums(wrong_N))
        lengths = scores.by_row(scores.lengths_A * ~scores.right_A)
        return (totals / lengths.clamp(min=1)).sum()


def unlikelihood(nll_N: Tensor, epsilon: float) -> Tensor:
    """-log(1 - p + epsilon) of tokens with these negative log-probabilities."""
    if epsilon:
        return -torch.log1p(epsilon - torch.exp(-nll_N))
    return -torch.log(-torch.expm1(-nll_N.clamp(min=SMALLEST_NLL)))


def length_normalized(scores: AnswerScores) -> Tensor:
    """Cross-entropy of choosing the right answer by its mean log-probability per token, summed over rows."""
    likelihood_A = -scores.nll_A / scores.lengths_A
    right_R = likelihood_A[scores.right_A]
    # A shift that keeps exp from overflowing; it cancels.
    highest_R = likelihood_A.detach().new_full(right_R.shape, -torch.inf)
    highest_R = highest_R.scatter_reduce(0, scores.row_A, likelihood_A.detach(), "amax")
    shares_R = scores.by_row(torch.exp(likelihood_A - highest_R[scores.row_A]))
    return (shares_R.log() + highest_R - right_R).sum()
