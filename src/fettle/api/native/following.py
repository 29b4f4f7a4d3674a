"""What a job tells and logs, as server-sent events: from where the client was, until the job has ended."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import accumulate, islice
from pathlib import Path
from threading import Event
from typing import Annotated, NamedTuple

from fastapi import Header, Query, Request

from fettle.api.streaming import EventStream, encode
from fettle.errors import Unavailable
from fettle.services.tuning_jobs import TuningJobs
from fettle.store import events
from fettle.types.ids import MAX_NUMBER
from fettle.types.told import JobEvent

#: How soon something new is seen.
LOOK_SECONDS = 0.5
#: How soon a connection on which nothing else is sent shows that it lives: proxies end those that seem dead.
ALIVE_SECONDS = 15
#: The states in which a job tells nothing more, unless it is queued again.
ENDED = ("succeeded", "failed", "cancelled", "paused")
MOST_AT_ONCE, MOST_BYTES_AT_ONCE = 100, 64 * 1024
ALIVE = b": alive\n\n"

Follow = Annotated[
    bool, Query(description="server-sent events, as they come, until the job has ended; the last one is `[DONE]`")
]
LastEventId = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=MAX_NUMBER,
        description="id of the last event that a client has got, behind which it goes on; it wins over `after`",
    ),
]


class News(NamedTuple):
    """An event that is to be sent; its body is JSON."""

    id: int
    type: str
    body: bytes

    @property
    def sent(self) -> bytes:
        """The event as a stream has it."""
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self.id, self.type.encode(), self.body)


Look = Callable[[int], tuple[Sequence[News], bool]]


async def following(request: Request, look: Look, after: int) -> EventStream:
    """A stream of all that `look` finds behind the number `after`, until it says that nothing more will come.

    Args:
        request: of who follows; when he hangs up, nobody looks any more.
        look: what is new behind a number, in order, and whether that is the end; called in a thread.
        after: where to begin.
    """
    # What is wrong with the request is told by its status, which is sent before the first event.
    await asyncio.to_thread(look, after)
    return await EventStream.begun(request.receive, _events(look, after, request.app.state.ending))


async def _events(look: Look, after: int, ending: Event) -> AsyncGenerator[bytes, None]:
    # At once, though nothing may be new for long: the client sees that it is followed.
    yield ALIVE
    said_at = time.monotonic()
    while True:
        news, is_over = await asyncio.to_thread(look, after)
        if news:
            after, said_at = news[-1].id, time.monotonic()
            yield b"".join(one.sent for one in news)
            continue
        if is_over:
            return
        if ending.is_set():
            raise Unavailable("the server ends", hint="Follow it again, with the id of the last event.")
        if time.monotonic() - said_at > ALIVE_SECONDS:
            said_at = time.monotonic()
            yield ALIVE
        await asyncio.sleep(LOOK_SECONDS)


def new_events(jobs: TuningJobs, job_id: str, after: int) -> tuple[Sequence[News], bool]:
    """What a job has told behind an event, and whether it tells nothing more.

    Raises:
        NotFound: there is no such job.
    """
    # In this order: a job that has ended has told everything.
    has_ended = jobs.get(job_id).state in ENDED
    found = [told(event) for event in jobs.events(job_id, after=after, limit=MOST_AT_ONCE)]
    return [News(int(one.id), one.type, one.model_dump_json().encode()) for one in found], has_ended


def new_lines(jobs: TuningJobs, job_id: str, after: int) -> tuple[Sequence[News], bool]:
    """The lines of a job's log behind so many bytes; each one's number is that of the bytes up to its end.

    Raises:
        NotFound: there is no such job.
    """
    has_ended = jobs.get(job_id).state in ENDED
    part = _bytes_behind(jobs.log_path(job_id), after)
    *lines, rest = part.splitlines(keepends=True) or [b""]
    # The worker may be about to write the rest of the last one.
    if rest.endswith(b"\n") or has_ended or len(part) == MOST_BYTES_AT_ONCE:
        lines.append(rest)
    ends = accumulate((len(line) for line in lines), initial=after)
    texts = [line.rstrip(b"\r\n").decode(errors="replace") for line in lines]
    news = [News(end, "line", encode({"text": text})) for end, text in zip(islice(ends, 1, None), texts, strict=True)]
    return [one for one in news if one.id > after], has_ended


def told(event: events.Event) -> JobEvent:
    """What clients are told of an event."""
    return JobEvent(id=str(event.id), type=event.type, at=event.at, body=event.body)


def _bytes_behind(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            # An offset behind the end is what a client made up.
            file.seek(min(offset, path.stat().st_size))
            return file.read(MOST_BYTES_AT_ONCE)
    except FileNotFoundError:
        return b""
