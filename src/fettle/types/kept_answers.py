"""An answer that is kept for the case that its request is sent again."""

from datetime import datetime

from fettle.types.record import Record


class KeptAnswer(Record):
    """A request that was sent with a key of its own, and its answer once there is one."""

    id: str
    project_id: str = "default"
    key: str
    created_at: datetime
    digest: str
    status: int | None = None
    body: str = ""
