"""Answers kept for a day, so that a request that is sent twice does its work once."""

from datetime import timedelta

from sqlalchemy import delete

from fettle.errors import Conflict, InvalidInput
from fettle.store import tables
from fettle.store.repository import Records, Repository
from fettle.types.ids import new_id, now
from fettle.types.kept_answers import KeptAnswer

KEPT_FOR = timedelta(days=1)
MAX_KEY_LENGTH = 255


class KeptAnswers:
    """What was answered to requests with a key."""

    def __init__(self, repository: Repository) -> None:
        """The answers in `repository`."""
        self._repository = repository

    def begin(self, key: str, digest: str) -> KeptAnswer:
        """The request that was begun with this key: a new one, or one that has its answer already.

        Args:
            key: the client's own, of 1 to 255 characters.
            digest: of what is asked.

        Raises:
            InvalidInput: the key is too long or empty.
            Conflict: another request was sent with it; or the same, and that has no answer (yet).
        """
        if not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise InvalidInput(f"a key of {len(key)} characters: 1 to {MAX_KEY_LENGTH} are possible", param=_HEADER)
        with self._repository.write() as records:
            _sweep(records)
            found = records.find(KeptAnswer, key=key)
            if not found:
                return records.insert(KeptAnswer(id=new_id("answer"), key=key, created_at=now(), digest=digest))
        return _checked(found[0], digest)

    def finish(self, begun: KeptAnswer, status: int, body: str) -> None:
        """Keep the answer."""
        self._repository.update(begun, status=status, body=body)

    def forget(self, begun: KeptAnswer) -> None:
        """Nothing was done: the same key may be sent again."""
        with self._repository.write() as records:
            records.delete(KeptAnswer, begun.id)


_HEADER = "Idempotency-Key"


def _checked(kept: KeptAnswer, digest: str) -> KeptAnswer:
    if kept.digest != digest:
        hint = "Take a new key for each request that is not a repetition."
        raise Conflict(f"the key {kept.key!r} was sent with another request", hint=hint, param=_HEADER)
    if kept.status is None:
        hint = "Wait for it. If its server was killed, look at what was done, and take a new key."
        raise Conflict(f"the request with the key {kept.key!r} has not ended", hint=hint, param=_HEADER)
    return kept


def _sweep(records: Records) -> None:
    """Forget what is too old."""
    table = tables.kept_answers
    records.connection.execute(delete(table).where(table.c.created_at < now() - KEPT_FOR))
