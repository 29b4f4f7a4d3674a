"""Direct preference optimization: a better answer becomes likelier than a worse one, beside the untuned model.

Source: arXiv 2305.18290, equation 7.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from fettle.data.choice_rows import ChoiceRows
from fettle.data.examples import Example
from fettle.data.packing import Batch
from fettle.data.template import Template
from fettle.tuning.objectives.answers import AnswerScores, choices_of
from fettle.tuning.objectives.base import Loss, Tuned
from fettle.types.tuning import PreferenceLoss


class Preference:
    """-log sigmoid(beta * margin), a mean over pairs of the right answer and another of its row.

    The margin is how much more the tuned model favours the right answer, in nats, than the untuned one does; that one
    is the same weights with the adapter switched off.
    """

    def __init__(self, settings: PreferenceLoss) -> None:
        """The loss, as sharp as the settings say."""
        self.settings = settings

    def rows(self, examples: Iterable[tuple[int, Example]], template: Template, context: int) -> ChoiceRows:
        """Each prompt once, with all its answers; a row that has one only is refused."""
        return ChoiceRows.of(examples, template, context, min_answers=2)

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """Pairs."""
        return (sum(len(row) - 1 for row in choices_of(batch).answers),)

    def loss(self, model: Tuned, batch: Batch) -> Loss:
        """Summed over pairs."""
        with torch.no_grad(), model.untuned(len(batch.tokens)):
            before = AnswerScores.of(model.decoder, choices_of(batch)).nll_A
        scores = AnswerScores.of(model.decoder, choices_of(batch), model.virtual())
        gain_A = before - scores.nll_A
        margins = self.settings.beta * margin(scores, gain_A)
        ranked = scores.ranking(gain_A)
        return Loss(-F.logsigmoid(margins).sum()[None], scores.num_correct, scores.num_right_tokens, *ranked)


def margin(scores: AnswerScores, gain_A: Tensor) -> Tensor:
    """Of each answer that is not the right one, how much more the right one of its row has gained."""
    right_R = gain_A[scores.right_A]
    wrong = ~scores.right_A
    return right_R[scores.row_A[wrong]] - gain_A[wrong]
