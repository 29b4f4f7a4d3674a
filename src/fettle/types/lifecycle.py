"""Which moves between states exist; everything that changes a state asks here."""

from fettle.errors import Conflict

MOVES: dict[str, dict[str, tuple[str, ...]]] = {
    "job": {
        "queued": ("running", "failed", "paused", "cancelled"),
        # To running or queued again: a job whose process was ended or killed goes on from its checkpoint.
        "running": ("running", "queued", "succeeded", "failed", "paused", "cancelled"),
        "paused": ("running", "queued", "cancelled"),
        "failed": ("running", "queued"),
        "cancelled": ("running", "queued"),
        "succeeded": (),
    },
    "upload": {
        "pending": ("completed", "cancelled", "expired"),
        "completed": (),
        "cancelled": (),
        "expired": (),
    },
    "batch": {
        "validating": ("in_progress", "failed", "cancelling"),
        "in_progress": ("finalizing", "expired", "cancelling"),
        "finalizing": ("completed",),
        "cancelling": ("cancelled",),
        "completed": (),
        "failed": (),
        "expired": (),
        "cancelled": (),
    },
    "key": {
        "active": ("revoked",),
        "revoked": (),
    },
    "project": {
        "active": ("deleted",),
        "deleted": (),
    },
    "cluster": {
        "creating": ("active", "failed"),
        "active": ("updating", "deleting"),
        "updating": ("active", "failed"),
        "failed": ("deleting",),
        "deleting": ("deleted", "failed"),
        "deleted": (),
    },
    "endpoint": {
        "creating": ("active", "inactive", "failed"),
        "active": ("inactive", "deleting"),
        "inactive": ("active", "deleting"),
        "failed": ("deleting",),
        "deleting": ("deleted", "failed"),
        "deleted": (),
    },
    "model": {
        "creating": ("active", "failed", "deleted"),
        "active": ("deleted",),
        "failed": ("deleted",),
        "deleted": (),
    },
}


def check_move(thing: str, name: str, old: str, new: str) -> None:
    """Allow a change of state or say why not.

    Raises:
        Conflict: there is no such move.
    """
    if new not in MOVES[thing][old]:
        raise Conflict(f"{thing} {name!r} is {old} and cannot become {new}")
