"""Requests that were refused, in the audit log: each of them, until they come as a flood."""

import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Lock

from fettle.errors import FettleError
from fettle.store.audit import AuditLog
from fettle.types.access import Actor

log = logging.getLogger(__name__)
PER_MINUTE, PER_DAY = 20, 1000
_MINUTE, _DAY = 60.0, 86400.0


class Refusals:
    """What is written down of them: at most so many in a minute and a day, whoever sends them, or they fill the disk.

    Those that are not are counted, and the next one that is tells how many they were.
    """

    def __init__(self, audit: AuditLog, seconds: Callable[[], float] = time.monotonic) -> None:
        """Refusals in `audit`, by this clock."""
        self._audit, self._seconds = audit, seconds
        self._written: deque[float] = deque(maxlen=PER_DAY)
        self._num_left_out, self._lock = 0, Lock()

    def note(self, who: Actor, route: str, error: FettleError, project_id: str) -> None:
        """Write down that a request was refused, if there is room for it; a full disk is told in the server's log.

        Args:
            who: sent it; `who` is empty when no known key came with it.
            route: as it is declared, so that it holds nothing that the client has made up.
            error: why.
            project_id: of the key that came with it; the default one's administrators are told of the others.
        """
        left_out = self._take()
        if left_out is None:
            return
        detail = {"status": error.http_status, "code": error.code, "left_out_before": left_out}
        try:
            self._audit.refused(who, project_id, route, detail)
        except FettleError as failure:
            log.warning("a refused request could not be written down", extra={"error": str(failure)})

    def _take(self) -> int | None:
        """Take room for one; how many had none since the last, or None if this one has none either."""
        moment = self._seconds()
        with self._lock:
            if any(self._is_full(moment, *rule) for rule in ((PER_MINUTE, _MINUTE), (PER_DAY, _DAY))):
                self._num_left_out += 1
                return None
            self._written.append(moment)
            left_out, self._num_left_out = self._num_left_out, 0
            return left_out

    def _is_full(self, moment: float, most: int, seconds: float) -> bool:
        return len(self._written) >= most and self._written[-most] > moment - seconds
