"""Lists in pages, as OpenAI's clients read them: they ask again, after the last id, while there is more."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def page(limit: int, fetch: Callable[[int], Sequence[T]], shown: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """A page of at most `limit` things.

    Args:
        limit: how many.
        fetch: gets at most so many; it is asked for one more, which says whether there is a next page.
        shown: what clients are told of a thing; with its `id`.
    """
    found = fetch(limit + 1)
    data = [shown(one) for one in found[:limit]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, **ends, "has_more": len(found) > limit}
