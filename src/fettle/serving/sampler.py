"""From logits to the next token of each sequence, and the log-probabilities that are asked for.

Shapes: N rows, one per sequence; V vocabulary.
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from functools import lru_cache

import torch
from torch import Tensor

from fettle.serving.sequence import Sequence
from fettle.types.generation import SamplingParams, TokenLogprob

#: In the place of a token where the model's answer is not a number.
NO_TOKEN = -1


#: Told as the log-probability of what a grammar excludes, as vLLM does: JSON has no infinity.
IMPOSSIBLE = -9999.0


@torch.inference_mode()
def masked(logits_NV: Tensor, sequences: Seq[Sequence]) -> Tensor:
    """The logits with minus infinity where a sequence's grammar forbids a token; what is told and chosen is of these.

    As in vLLM (`apply_grammar_bitmask` before its sampler), log-probabilities are those after the grammar and before
    penalties, bias and temperature.
    """
    states = [(row, one.grammar) for row, one in enumerate(sequences) if one.grammar is not None]
    logits_NV = logits_NV.clone() if states else logits_NV
    for row, grammar in states:
        logits_NV[row].masked_fill_(grammar.forbidden(logits_NV.shape[-1]), -torch.inf)
    return logits_NV


class Sampler:
    """Chooses tokens; what a row gives depends on its own sequence only, never on the others in the batch."""

    @torch.inference_mode()
    def choose(self, logits_NV: Tensor, sequences: Seq[Sequence]) -> list[int]:
        """The next token of each sequence; NO_TOKEN where the logits are not numbers or exclude every token."""
        if not sequences:
            return []
        # The greatest of numbers among which one is none is none. (`argmax` takes five times as long as `max`.)
        greatest, tokens = logits_NV.max(-1)
        changed = [row for row, sequence in enumerate(sequences) if changes_logits(sequence)]
        logits_NV = logits_NV.clone() if changed else logits_NV
        for row in changed:
            change_logits(logits_NV[row], sequences[row])
            tokens[row] = logits_NV[row].argmax()
        drawn = [row for row, sequence in enumerate(sequences) if not sequence.sampling.is_greedy]
        if drawn:
            tokens[drawn] = draw(logits_NV[drawn], [sequences[row] for row in drawn])
        return torch.where(greatest.isfinite(), tokens, NO_TOKEN).tolist()


def changes_logits(sequence: Sequence) -> bool:
    """Whether anything is done to its logits before a token is chosen."""
    s = sequence.sampling
    penalties = s.repetition_penalty != 1 or s.presence_penalty != 0 or s.frequency_penalty != 0
    return penalties or bool(s.logit_bias) or sequence.num_made < s.min_tokens


def change_logits(logits_V: Tensor, sequence: Sequence) -> None:
    """Bias, penalties, and no end before `min_tokens`, in place."""
    s, size = sequence.sampling, len(logits_V)
    if s.repetition_penalty != 1:
        seen = torch.tensor(sorted({token for token in sequence.tokens if token < size}))
        values = logits_V[seen]
        # Source: arXiv 1909.05858, section 4.1; as in transformers, a negative logit is multiplied.
        logits_V[seen] = torch.where(values > 0, values / s.repetition_penalty, values * s.repetition_penalty)
    if s.presence_penalty or s.frequency_penalty:
        counts = torch.bincount(torch.tensor(sequence.tokens[sequence.num_prompt :], dtype=torch.long), minlength=size)
        logits_V -= s.frequency_penalty * counts + s.presence_penalty * (counts > 0)
    for token, bias in s.logit_bias.items():
        logits_V[token] += bias
    if sequence.num_made < s.min_tokens:
        ends = [token for token in sequence.end_ids if token < size]
        before, logits_V[ends] = logits_V[ends], -torch.inf
        if logits_V.amax() == -torch.inf:
            # The answer's grammar allows nothing but to end.
            logits_V[ends] = before


def draw(logits_NV: Tensor, sequences: Seq[Sequence]) -> Tensor:
    """A random token for each row, with the sequence's own random numbers.

    Temperature comes first, then top-k, top-p and min-p, as in `transformers`.
    """
    params = [sequence.sampling for sequence in sequences]
    logits_NV = logits_NV / _column(params, lambda p: p.temperature)
    cumulative = kept(logits_NV, params).softmax(-1, dtype=torch.float64).cumsum(-1)
    uniform = torch.tensor([[sequence.random.random()] for sequence in sequences], dtype=torch.float64)
    # Strictly above the random number: a token of probability zero is never the first such place.
    found = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).squeeze(-1)
    return found.clamp(max=logits_NV.shape[-1] - 1)


def kept(logits_NV: Tensor, params: Seq[SamplingParams]) -> Tensor:
    """The logits with minus infinity where top-k, top-p and min-p exclude a token; one at least stays."""
    if any(p.top_k or p.top_p < 1 for p in params):
        logits_NV = _top_k_top_p(logits_NV, params)
    if any(p.min_p for p in params):
        probabilities = logits_NV.softmax(-1)
        least = _column(params, lambda p: p.min_p) * probabilities.amax(-1, keepdim=True)
        logits_NV = logits_NV.masked_fill(probabilities < least, -torch.inf)
    return logits_NV


def _top_k_top_p(logits_NV: Tensor, params: Seq[SamplingParams]) -> Tensor:
    size = logits_NV.shape[-1]
    ordered, places = logits_NV.sort(dim=-1, descending=True, stable=True)
    k = torch.tensor([[p.top_k or size] for p in params])
    ordered = ordered.masked_fill(torch.arange(size) >= k, -torch.inf)
    probabilities = ordered.softmax(-1)
    # A token stays if those before it do not yet reach top_p.
    before = probabilities.cumsum(-1) - probabilities
    excluded = (before >= _column(params, lambda p: p.top_p)) & (_column(params, lambda p: p.top_p) < 1)
    excluded[:, 0] = False
    return torch.empty_like(logits_NV).scatter_(-1, places, ordered.masked_fill(excluded, -torch.inf))


def _column(params: Seq[SamplingParams], value: Callable[[SamplingParams], float]) -> Tensor:
    return torch.tensor([[value(p)] for p in params])


class Scorer:
    """Log-probabilities before temperature, penalties and bias."""

    def __init__(self, token_text: Callable[[int], str]) -> None:
        self._text = lru_cache(maxsize=1 << 16)(token_text)

    @torch.inference_mode()
    def score(self, logits_NV: Tensor, tokens: Seq[int], num_top: int) -> list[TokenLogprob]:
        """For each row the log-probability of its token, and the `num_top` likeliest, likeliest first."""
        logprobs = logits_NV.log_softmax(-1).clamp(min=IMPOSSIBLE)
        chosen = logprobs.gather(-1, torch.tensor(tokens)[:, None]).squeeze(-1).tolist()
        values, ids = (part.tolist() for part in logprobs.topk(min(num_top, logprobs.shape[-1]), dim=-1))
        return [
            self.entry(token, logprob, list(zip(row_ids, row_values, strict=True)))
            for token, logprob, row_ids, row_values in zip(tokens, chosen, ids, values, strict=True)
        ]

    def entry(self, token: int, logprob: float, top: Seq[tuple[int, float]] = ()) -> TokenLogprob:
        """The record of one token."""
        shown = tuple((other, self._text(other), value) for other, value in top)
        return TokenLogprob.model_construct(token_id=token, token=self._text(token), logprob=logprob, top=shown)
