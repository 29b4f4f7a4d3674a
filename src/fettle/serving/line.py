"""Who waits, and who is next: no model can make another one wait for all of its own requests."""

from collections import deque
from collections.abc import Iterator

from fettle.serving.sequence import Sequence


class FairLine:
    """Waiting sequences of one priority.

    Those that had to give way are first. Then comes the model that the least was computed for; of one model, who came
    first. What a model did not ask for is not owed to it: when it comes (again), it is put level with the one that was
    admitted last, so it is next but gets no more than its share.

    Source: start-time fair queueing, Goyal, Vin and Cheng 1996, with tokens for bits and models for flows.
    """

    def __init__(self) -> None:
        """Nobody waits."""
        self._returning: deque[Sequence] = deque()
        self._by_model: dict[str, deque[Sequence]] = {}
        self._served: dict[str, int] = {}
        self._clock = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._returning) + sum(map(len, self._by_model.values()))

    def __bool__(self) -> bool:
        """Whether somebody waits."""
        return bool(self._returning or self._by_model)

    def add(self, sequence: Sequence) -> None:
        """Somebody new."""
        if not self._by_model:
            # Models that are not ahead of the clock need not be remembered.
            self._served = {model: tokens for model, tokens in self._served.items() if tokens > self._clock}
        model = sequence.model
        self._served[model] = max(self._served.get(model, 0), self._clock)
        self._by_model.setdefault(model, deque()).append(sequence)

    def put_back(self, sequence: Sequence) -> None:
        """Somebody who had to give way, and came before all others who had."""
        self._returning.appendleft(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget somebody, if he is in this line."""
        if sequence in self._returning:
            self._returning.remove(sequence)
        elif sequence in (queue := self._by_model.get(sequence.model, ())):
            assert isinstance(queue, deque)
            queue.remove(sequence)
            if not queue:
                del self._by_model[sequence.model]

    def take(self, sequence: Sequence) -> None:
        """Somebody is admitted."""
        if sequence not in self._returning:
            self._clock = max(self._clock, self._served[sequence.model])
        self.remove(sequence)

    def charge(self, model: str, num_tokens: int) -> None:
        """Tokens are computed for a model."""
        self._served[model] = self._served.get(model, self._clock) + num_tokens

    def candidates(self) -> Iterator[Sequence]:
        """Who may be next: all who had to give way and the first of each model, in order."""
        yield from list(self._returning)
        for model in sorted(self._by_model, key=self._served.__getitem__):
            yield self._by_model[model][0]
