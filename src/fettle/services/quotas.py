"""Quotas: how many requests a key may send in a minute, and how many tokens it may use in a day."""

import logging
import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from threading import Lock

from fettle.errors import FettleError, QuotaExceeded
from fettle.store.usage import KeyUsage
from fettle.types.access import Principal
from fettle.types.ids import now

log = logging.getLogger(__name__)
_MINUTE = 60.0


class Quotas:
    """Counts for each key; requests in this process, tokens in the store.

    What is answered at this moment is not in the sum of tokens yet, so a key can go over its day's tokens by that much.
    """

    def __init__(
        self, usage: KeyUsage, seconds: Callable[[], float] = time.monotonic, moment: Callable[[], datetime] = now
    ) -> None:
        """Counts beside the sums in `usage`, by these clocks."""
        self._usage, self._seconds, self._moment = usage, seconds, moment
        self._requests: dict[str, deque[float]] = defaultdict(deque)
        self._unwritten: Counter[tuple[str, date]] = Counter()
        self._lock = Lock()
        # Held while tokens go from `_unwritten` to the store: whoever adds both up sees them in one of the two.
        self._moving = Lock()
        # One thread: who was answered does not wait for the disk, and the sums are written one after the other.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="usage")

    def take_request(self, key_id: str, limit: int) -> None:
        """Count a request.

        Raises:
            QuotaExceeded: the key has sent as many in the last 60 seconds; this one is not counted.
        """
        with self._lock:
            sent, moment = self._requests[key_id], self._seconds()
            while sent and sent[0] <= moment - _MINUTE:
                sent.popleft()
            if len(sent) >= limit:
                told = f"the API key may send {limit} requests in a minute, and has"
                wait = max(1, math.ceil(sent[0] + _MINUTE - moment))
                raise QuotaExceeded(told, retry_after_seconds=wait, hint=f"Send it again in {wait} seconds.")
            sent.append(moment)

    def check_tokens(self, principal: Principal) -> None:
        """Let a key go on that has tokens left for today.

        Raises:
            QuotaExceeded: it has used them up.
        """
        limit, today = principal.tokens_per_day, self._moment()
        if limit is None:
            return
        with self._moving:
            used = self._usage.of(principal.key_id, today.date()) + self._unwritten[principal.key_id, today.date()]
        if used >= limit:
            midnight = today.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            wait = max(1, math.ceil((midnight - today).total_seconds()))
            told = f"the API key may use {limit} tokens in a day, and has used {used}"
            raise QuotaExceeded(told, retry_after_seconds=wait, hint="It may again after midnight, UTC.")

    def spend(self, key_id: str, num_tokens: int) -> None:
        """Count tokens; returns at once."""
        day = self._moment().date()
        with self._lock:
            self._unwritten[key_id, day] += num_tokens
        self._writer.submit(self._write, key_id, day, num_tokens)

    def close(self) -> None:
        """Write down what is counted."""
        self._writer.shutdown()

    def _write(self, key_id: str, day: date, num_tokens: int) -> None:
        with self._moving:
            try:
                self._usage.add(key_id, day, num_tokens)
            except FettleError as error:
                # It stays in `_unwritten`: the quota holds as long as this process lives.
                log.warning("tokens could not be written down", extra={"key": key_id, "error": str(error)})
                return
            with self._lock:
                self._unwritten[key_id, day] -= num_tokens
