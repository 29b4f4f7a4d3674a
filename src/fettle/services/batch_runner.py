"""The batch runner: answers the requests of all batches, a few at a time, beside what the server is asked live."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from fettle.data.files import Row
from fettle.errors import FettleError
from fettle.services.batch_journal import Answer, Journal
from fettle.services.batches import Batches, Checked
from fettle.types.ids import now
from fettle.types.resources import Batch

log = logging.getLogger(__name__)
#: Requests of batches that are answered at once. They give way in the engine to those that are asked live, but count
#: among those that a server accepts.
MAX_AT_ONCE = 8
#: How soon a batch is taken over whose server was killed; what this process is told of, `wake` says at once.
LOOK_SECONDS = 10.0


class Dialect(Protocol):
    """What the requests of a batch mean, and how their answers are written."""

    def check(self, batch: Batch, path: Path) -> Checked:
        """What is wrong with the requests in a file, if anything is."""

    async def answer(self, batch: Batch, row: Row) -> Answer:
        """The answer to a request that was checked; also if it is an error."""

    def expired(self, row: Row) -> Answer:
        """What is told of a request that was not answered in time."""


class BatchRunner:
    """Tasks that work on batches; belongs to one event loop. What was interrupted goes on when it starts."""

    def __init__(self, batches: Batches, dialect: Dialect) -> None:
        """A runner of `batches`; nothing runs before `start`."""
        self._batches, self._dialect = batches, dialect
        self._changed, self._room = asyncio.Event(), asyncio.Semaphore(MAX_AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._answering: dict[str, asyncio.Task[None]] = {}
        self._is_ending = False

    def start(self) -> None:
        """Begin to look for batches."""
        self._looking = asyncio.create_task(self._look_on())

    def wake(self) -> None:
        """Look for batches now."""
        self._changed.set()

    async def stop(self) -> None:
        """Give up the requests that run; they are asked again after the next start."""
        self._is_ending = True
        self._looking.cancel()
        for task in self._answering.values():
            task.cancel()
        await asyncio.gather(self._looking, *self._running.values(), return_exceptions=True)

    async def _look_on(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                # Whatever it was (a full disk, a locked database): the next look may find it gone.
                log.exception("the batches could not be looked at")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)
            self._changed.clear()

    async def _look(self) -> None:
        for batch in await asyncio.to_thread(self._batches.unfinished):
            if batch.id not in self._running:
                self._running[batch.id] = asyncio.create_task(self._run(batch.id))
            elif batch.state == "cancelling" and batch.id in self._answering:
                self._answering[batch.id].cancel()

    async def _run(self, batch_id: str) -> None:
        try:
            journal = await asyncio.to_thread(self._batches.take, batch_id)
            if journal:
                try:
                    await self._work(batch_id, journal)
                finally:
                    await asyncio.to_thread(journal.close)
        except FettleError as error:
            log.warning("a batch has to wait", extra={"batch": batch_id, "error": str(error)})
        except Exception:
            # The next look takes it up again from its journal; the other batches go on meanwhile.
            log.exception("a batch could not be worked on", extra={"batch": batch_id})
        finally:
            del self._running[batch_id]

    async def _work(self, batch_id: str, journal: Journal) -> None:
        batch = await asyncio.to_thread(self._batches.get, batch_id)
        if batch.state == "validating":
            batch = await asyncio.to_thread(self._batches.check, batch_id, self._dialect.check)
        is_late = batch.state == "in_progress" and await self._answer(batch, journal)
        await asyncio.to_thread(self._batches.finish, batch_id, journal, is_late=is_late)

    async def _answer(self, batch: Batch, journal: Journal) -> bool:
        """Answer what is left of a batch, until it is cancelled; whether its time was over before."""
        if self._is_ending:
            return False
        work = self._answering[batch.id] = asyncio.create_task(self._answer_all(batch, journal))
        # Somebody may have cancelled the batch before there was a task to cancel.
        self.wake()
        try:
            done, _ = await asyncio.wait({work}, timeout=max(0.0, (batch.expires_at - now()).total_seconds()))
        finally:
            del self._answering[batch.id]
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        if done and not work.cancelled():
            work.result()
        if not done:
            await asyncio.to_thread(self._let_expire, batch, journal)
        return not done

    def _let_expire(self, batch: Batch, journal: Journal) -> None:
        late = [self._dialect.expired(row) for row in self._batches.unanswered(batch.id, journal)]
        self._batches.add(batch.id, journal, *late)

    async def _answer_all(self, batch: Batch, journal: Journal) -> None:
        rows, turn = self._batches.unanswered(batch.id, journal), asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_AT_ONCE):
                group.create_task(self._answer_from(rows, turn, batch, journal))

    async def _answer_from(self, rows: Iterator[Row], turn: asyncio.Lock, batch: Batch, journal: Journal) -> None:
        while row := await _next(rows, turn):
            async with self._room:
                answer = await self._dialect.answer(batch, row)
            await asyncio.to_thread(self._batches.add, batch.id, journal, answer)


async def _next(rows: Iterator[Row], turn: asyncio.Lock) -> Row | None:
    """The next row, read in a thread: there may be thousands before it that are answered already."""
    async with turn:
        return await asyncio.to_thread(next, rows, None)
