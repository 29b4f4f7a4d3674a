"""Answers on their way through an engine: written token by token, or chosen by how likely the model finds them."""

from collections.abc import Sequence
from typing import Protocol

from fettle.evaluation.runner import Answer
from fettle.types.generation import GenerateChunk, SamplingParams

#: An engine makes one token at least; it is not looked at.
SCORED = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=True)


class Pending(Protocol):
    """A question that is being answered."""

    def take(self, chunk: GenerateChunk) -> Answer | None:
        """Note what has come; the answer, once it is whole."""
        ...


class Written:
    """An answer that the model writes."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._text = ""

    def take(self, chunk: GenerateChunk) -> Answer | None:
        """Append the text."""
        self._text += chunk.text
        if chunk.finish_reason is None:
            return None
        is_cut_off = chunk.finish_reason == "length"
        return Answer(self._text, chunk.prompt_tokens, chunk.completion_tokens, is_cut_off)


class Chosen:
    """The likeliest of some answers: the highest mean log-probability per token, its end token included.

    Source: rank classification with length normalisation, arXiv 2205.05638, section 3.2.
    """

    def __init__(self, choices: Sequence[str], sizes: Sequence[int]) -> None:
        """Answers, and how many tokens each has at the end of its prompt."""
        self._choices, self._sizes = choices, sizes
        self._logprobs: list[list[float]] = [[] for _ in choices]
        self._num_missing, self._prompt_tokens = len(choices), 0

    def take(self, chunk: GenerateChunk) -> Answer | None:
        """Note the log-probabilities of one choice's tokens; its number is behind the dot of the request's id."""
        number = int(chunk.request_id.partition(".")[2])
        self._logprobs[number] += [token.logprob for token in chunk.prompt_logprobs]
        if chunk.finish_reason is None:
            return None
        self._num_missing -= 1
        self._prompt_tokens += chunk.prompt_tokens
        return None if self._num_missing else Answer(self._choices[self._best()], self._prompt_tokens, 0)

    def _best(self) -> int:
        means = [sum(found[-size:]) / size for found, size in zip(self._logprobs, self._sizes, strict=True)]
        return max(range(len(means)), key=means.__getitem__)
