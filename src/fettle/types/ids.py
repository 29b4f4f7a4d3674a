"""Prefixed random ids and the time: `job_1f9c...`, `model_...`, `req_...`."""

import secrets
from datetime import UTC, datetime

#: The greatest number that a database gives to a row.
MAX_NUMBER = 2**63 - 1


def new_id(prefix: str) -> str:
    """A fresh id such as 'job_5f0e9a1c2b3d4e5f' (64 random bits)."""
    return f"{prefix}_{secrets.token_hex(8)}"


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)
