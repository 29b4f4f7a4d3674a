"""Cross-entropy of the next token, on scored tokens only."""

from collections.abc import Iterable

from fettle.data.examples import Example
from fettle.data.packing import Batch, EncodedRows
from fettle.data.template import Template
from fettle.models.decoder import Decoder
from fettle.models.virtual_tokens import VirtualTokens
from fettle.tuning.objectives.base import Loss, Tuned
from fettle.tuning.objectives.scores import token_scores


class NextToken:
    """The mean over all scored tokens; answers that are not right take no part."""

    def rows(self, examples: Iterable[tuple[int, Example]], template: Template, context: int) -> EncodedRows:
        """Each row end to end."""
        return EncodedRows.of(examples, template, context)

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """The scored tokens."""
        return (len(batch.at),)

    def loss(self, model: Tuned, batch: Batch) -> Loss:
        """Of packed rows."""
        return next_token(model.decoder, batch, model.virtual())


def next_token(decoder: Decoder, batch: Batch, virtual: VirtualTokens | None = None) -> Loss:
    """Run the packed rows and take the loss where a token is scored."""
    scores = token_scores(decoder, batch, virtual)
    return Loss(scores.nll.sum()[None], int(scores.correct.sum()), len(batch.at))
