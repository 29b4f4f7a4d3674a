"""The scores of a batch's answers: what losses over several answers to one prompt are made of.

Shapes: N scored tokens, A answers of all rows, R rows.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

from fettle.data.choice_rows import ChoiceBatch
from fettle.data.packing import Batch
from fettle.models.decoder import Decoder
from fettle.models.virtual_tokens import VirtualTokens
from fettle.tuning.objectives.scores import Scores, token_scores


def choices_of(batch: Batch) -> ChoiceBatch:
    """A batch of an objective whose rows are ChoiceRows."""
    assert isinstance(batch, ChoiceBatch), "ChoiceRows make these"
    return batch


@dataclass(frozen=True)
class AnswerScores:
    """Token scores with the answers that the tokens belong to."""

    tokens: Scores
    batch: ChoiceBatch

    @classmethod
    def of(cls, decoder: Decoder, batch: ChoiceBatch, virtual: VirtualTokens | None = None) -> "AnswerScores":
        """Run a batch."""
        return cls(token_scores(decoder, batch, virtual), batch)

    @cached_property
    def answer_N(self) -> Tensor:
        """The answer of each token."""
        return torch.from_numpy(self.batch.answer_of).to(self.tokens.nll.device)

    @cached_property
    def lengths_A(self) -> Tensor:
        """Tokens of each answer."""
        sizes = [size for row in self.batch.answers for size in row]
        return torch.tensor(sizes, device=self.tokens.nll.device)

    @cached_property
    def row_A(self) -> Tensor:
        """The row of each answer."""
        sizes = [len(row) for row in self.batch.answers]
        rows = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        return rows.to(self.tokens.nll.device)

    @cached_property
    def right_A(self) -> Tensor:
        """Whether an answer is its row's right one, which stands first."""
        firsts = [0, *accumulate(len(row) for row in self.batch.answers)][:-1]
        right = torch.zeros(len(self.lengths_A), dtype=torch.bool, device=self.tokens.nll.device)
        return right.index_fill(0, torch.tensor(firsts, device=right.device), value=True)

    @cached_property
    def right_N(self) -> Tensor:
        """Whether a token belongs to a right answer."""
        return self.right_A[self.answer_N]

    @cached_property
    def nll_A(self) -> Tensor:
        """Negative log-probability of each whole answer, in nats."""
        return self.sums(self.tokens.nll)

    def sums(self, values_N: Tensor) -> Tensor:
        """(A,) values of tokens summed over each answer."""
        return values_N.new_zeros(len(self.lengths_A)).index_add(0, self.answer_N, values_N)

    def by_row(self, values_A: Tensor) -> Tensor:
        """(R,) values of answers summed over each row."""
        return values_A.new_zeros(len(self.batch.answers)).index_add(0, self.row_A, values_A)

    @property
    def num_correct(self) -> int:
        """Tokens of right answers that were the likeliest."""
        return int((self.tokens.correct & self.right_N).sum())

    @property
    def num_right_tokens(self) -> int:
        """Tokens of right answers."""
        return int(self.right_N.sum())

    def ranking(self, score_A: Tensor) -> tuple[int, int]:
        """In how many of the rows with several answers the right one has the highest score; and these rows."""
        with torch.no_grad():
            best = score_A.new_full((len(self.batch.answers),), -torch.inf)
            best = best.scatter_reduce(0, self.row_A[~self.right_A], score_A[~self.right_A], "amax")
            has_wrong = best > -torch.inf
            first = score_A[self.right_A] > best
            return int((first & has_wrong).sum()), int(has_wrong.sum())
