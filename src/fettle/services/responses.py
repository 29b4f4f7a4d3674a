"""Answers that are kept for a while, so that they can be asked for again and conversations go on behind them."""

from datetime import timedelta
from typing import Any

from fettle.errors import NotFound
from fettle.store.repository import Records, Repository
from fettle.types.ids import now
from fettle.types.responses import StoredResponse

LIFETIME = timedelta(days=30)


class Responses:
    """The kept answers of this installation."""

    def __init__(self, repository: Repository) -> None:
        """The answers in `repository`."""
        self._repository = repository

    def keep(self, response: StoredResponse) -> None:
        """Keep an answer for 30 days; those whose time is over go at the same moment."""
        with self._repository.write() as records:
            records.everywhere.delete_before(StoredResponse, now() - LIFETIME)
            records.insert(response)

    def get(self, response_id: str) -> StoredResponse:
        """The answer with this id.

        Raises:
            NotFound: there is none.
        """
        with self._repository.read() as records:
            return _found(records, response_id, "response_id")

    def conversation(self, last_id: str) -> list[dict[str, Any]]:
        """The items of a conversation, up to those of the answer `last_id`, the oldest first.

        Raises:
            NotFound: there is no such answer, or one before it is gone.
        """
        found: list[StoredResponse] = []
        with self._repository.read() as records:
            earlier: str | None = last_id
            while earlier is not None:
                found.append(_found(records, earlier, "previous_response_id"))
                earlier = found[-1].previous
        return [item for one in reversed(found) for item in one.items]

    def delete(self, response_id: str) -> None:
        """Delete an answer; conversations cannot go on behind it any more.

        Raises:
            NotFound: there is none.
        """
        with self._repository.write() as records:
            _found(records, response_id, "response_id")
            records.delete(StoredResponse, response_id)

    def sweep(self) -> None:
        """Drop the answers whose time is over."""
        with self._repository.write() as records:
            records.everywhere.delete_before(StoredResponse, now() - LIFETIME)


def _found(records: Records, response_id: str, param: str) -> StoredResponse:
    # Not `records.get`: it would look through all ids for one that is alike.
    if found := records.find(StoredResponse, id=response_id):
        return found[0]
    hint = f"It was deleted, never stored, or is older than {LIFETIME.days} days."
    raise NotFound(f"there is no response {response_id!r}", hint=hint, param=param)
