"""What is kept of an answer so that it can be asked for again, and a conversation go on behind it."""

from datetime import datetime
from typing import Any

from pydantic import Field

from fettle.types.access import DEFAULT_PROJECT
from fettle.types.record import Record


class StoredResponse(Record):
    """An answer and what it answered, as the client was told and sent them."""

    id: str
    project_id: str = DEFAULT_PROJECT
    previous: str | None = Field(default=None, description="id of the answer that came before in the conversation")
    input_items: tuple[dict[str, Any], ...] = Field(description="what was new in the request, each with an `id`")
    answer: dict[str, Any] = Field(description="what the client was told; its `output` are the items of the answer")
    created_at: datetime

    @property
    def items(self) -> tuple[dict[str, Any], ...]:
        """What was new in the conversation: the request's items, then the answer's."""
        return (*self.input_items, *self.answer["output"])
