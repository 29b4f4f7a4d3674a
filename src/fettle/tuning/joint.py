"""Several runs on one base at once: their batches lie in one row of tokens, each token with the slot of its run.

One product with the frozen base serves them all. Everything else of a run is its own, and equals what it would be
alone: rows, dropout's numbers, loss, gradients, optimizer, schedule, validation, stops, checkpoints.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from fettle.data.packing import Batch, Entering, Ints
from fettle.errors import FettleError
from fettle.tuning.forward import ROUND
from fettle.tuning.loop import Run
from fettle.tuning.memory import DoesNotFitError, fitting
from fettle.tuning.methods import AdapterTrainee
from fettle.tuning.objectives import Loss
from fettle.tuning.objectives.scores import token_scores
from fettle.tuning.progress import Progress
from fettle.tuning.work import Waiting, Work


@dataclass(eq=False)
class Member:
    """A run of several, with the adapter that it trains.

    Attributes:
        number: of the run, as who asks for it counts.
        run: its loop.
        trainee: its adapter, on the model and in the bank that all members share.
    """

    number: int
    run: Run
    trainee: AdapterTrainee
    waiting: Waiting[Progress] = field(init=False)

    def begin(self) -> None:
        """Go to the first work, with random numbers of its own."""
        bank = self.trainee.bank
        bank.is_tuned = True
        self.run.random = bank.randoms[self.trainee.slot] = torch.Generator()
        self.waiting = Waiting(self.run.steps())

    @property
    def work(self) -> Work:
        """What the run waits for."""
        assert self.waiting.work is not None, "only runs that go on are asked"
        return self.waiting.work


#: Told of each run that has come to its end, or to an error.
OnEnd = Callable[[Member, FettleError | None], object]


class Joint:
    """Runs that go on in step until each has come to its own end."""

    def __init__(self, members: Iterable[Member], max_tokens: int, on_end: OnEnd) -> None:
        """Runs over the next token that train adapters at sites, on one model.

        Args:
            members: the runs.
            max_tokens: computed at once, of all runs together; halved when memory does not suffice.
            on_end: called with each member that ends, and the error that ended it.
        """
        self._max_tokens, self._on_end = max_tokens, on_end
        self._members = [member for member in members if self._goes_on(member, member.begin)]

    def run(self) -> None:
        """Train to the end of the last run."""
        while self._members:
            parts = together(sorted(self._members, key=_form), self._max_tokens)
            self._members = [member for part in parts for member in self._computed(part)]

    def _computed(self, part: Sequence[Member]) -> list[Member]:
        """Those of the members that have more to do, after the present work of all of them."""
        if len(part) == 1:
            (member,) = part
            return [member] if self._goes_on(member, lambda: member.waiting.compute(member.run.learner)) else []
        answers: Sequence[Loss | DoesNotFitError]
        try:
            answers = losses(part)
        except DoesNotFitError as error:
            self._max_tokens = error.num_tokens // 2
            answers = [DoesNotFitError(member.work.batch, is_shared=True) for member in part]
        return [m for m, answer in zip(part, answers, strict=True) if self._goes_on(m, _answering(m, answer))]

    def _goes_on(self, member: Member, advance: Callable[[], object]) -> bool:
        """Advance a run; whether it waits for more then. If not, its slot is free."""
        try:
            advance()
            error = None
        except FettleError as raised:
            error = raised
        if error is None and member.waiting.work is not None:
            return True
        self._on_end(member, error)
        member.trainee.bank.remove(member.trainee.slot)
        return False


def _form(member: Member) -> tuple[str, str, int]:
    """Members of one form whose batches are equally long are neighbours, and computed at once."""
    adapter = member.trainee.adapter
    return adapter.kind, repr(adapter.config), filled(member.work.batch)


def _answering(member: Member, answer: Loss | DoesNotFitError) -> Callable[[], None]:
    if isinstance(answer, DoesNotFitError):
        return lambda: member.waiting.throw(answer)
    return lambda: member.waiting.send(answer)


def together(members: Iterable[Member], max_tokens: int) -> list[list[Member]]:
    """Members whose work can be computed at once: all with gradients or all without, in at most so many tokens.

    Work that is longer is a part of its own.
    """
    parts: dict[bool, list[list[Member]]] = {True: [], False: []}
    room = {True: 0, False: 0}
    for member in members:
        kind, length = member.work.is_training, filled(member.work.batch)
        if length > room[kind]:
            parts[kind].append([])
            room[kind] = max_tokens
        parts[kind][-1].append(member)
        room[kind] -= length
    return [*parts[True], *parts[False]]


def losses(members: Sequence[Member]) -> list[Loss]:
    """The losses of the members' work, after their gradients were added to each one's parameters.

    Raises:
        DoesNotFitError: memory does not suffice for all at once; gradients may have been added in part.
    """
    works, model = [member.work for member in members], members[0].trainee
    is_training = works[0].is_training
    model.train_mode(is_training)
    batch = side_by_side([work.batch for work in works])
    with fitting(batch), torch.set_grad_enabled(is_training):
        found = _scored(members, batch)
        # No parameter is two runs', so each gets its own gradients of the sum.
        if is_training and (total := _total(found, works)).requires_grad:
            torch.autograd.backward(total)
    return found


def _scored(members: Sequence[Member], batch: Batch) -> list[Loss]:
    model, counts = members[0].trainee, [len(member.work.batch.at) for member in members]
    runs = [(member.trainee.slot, filled(member.work.batch)) for member in members]
    with model.arithmetic(), model.bank.route(runs):
        scores = token_scores(model.decoder, batch)
    parts = zip(torch.split(scores.nll, counts), torch.split(scores.correct, counts), counts, strict=True)
    return [Loss(nll.sum()[None], int(correct.sum()), count) for nll, correct, count in parts]


def _total(found: Sequence[Loss], works: Sequence[Work]) -> Tensor:
    pairs = zip(found, works, strict=True)
    return torch.stack([loss.terms @ loss.terms.new_tensor(work.shares or ()) for loss, work in pairs]).sum()


def filled(batch: Batch) -> int:
    """Tokens of a batch with the spare ones that fill it up, as it is computed alone."""
    return -(-len(batch.tokens) // ROUND) * ROUND


def side_by_side(batches: Sequence[Batch]) -> Batch:
    """Batches one after the other; the spare tokens behind each are a row of their own.

    They are as many as behind the batch alone, so that dropout takes as many random numbers.
    """
    spare = [filled(batch) - len(batch.tokens) for batch in batches]
    starts = np.cumsum([0, *(filled(batch) for batch in batches)])
    lengths = [[*batch.lengths, *([count] if count else [])] for batch, count in zip(batches, spare, strict=True)]
    return Batch(
        tokens=_filled([batch.tokens for batch in batches], spare),
        positions=_filled([batch.positions for batch in batches], spare),
        lengths=list(chain.from_iterable(lengths)),
        at=np.concatenate([batch.at + start for batch, start in zip(batches, starts, strict=False)]),
        targets=np.concatenate([batch.targets for batch in batches]),
        entering=_entering([batch.entering for batch in batches], spare),
    )


def _entering(parts: Sequence[Entering | None], spare: Sequence[int]) -> Entering | None:
    """Of batches that all begin in front of one layer, or all at the embeddings."""
    known = [part for part in parts if part]
    if not known:
        return None
    pairs = zip(known, spare, strict=True)
    return Entering(known[0].layer, np.concatenate([np.pad(p.stream, ((0, count), (0, 0))) for p, count in pairs]))


def _filled(parts: Sequence[Ints], spare: Sequence[int]) -> Ints:
    return np.concatenate([np.pad(part, (0, count)) for part, count in zip(parts, spare, strict=True)])
