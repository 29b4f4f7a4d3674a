"""Who may do what: projects, keys, roles and the permissions that they give; and who is at work now."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import AwareDatetime, Field

from fettle.types.record import Record

DEFAULT_PROJECT = "default"
"""Whose rows are made without a server, and with the installation's own key."""

Permission = Literal[
    "models:read",
    "models:use",
    "models:write",
    "files:read",
    "files:write",
    "jobs:read",
    "jobs:write",
    "batches:read",
    "batches:write",
    "clusters:read",
    "clusters:write",
    "metrics:read",
    "keys:write",
    "projects:write",
    "audit:read",
]
Role = Literal["viewer", "user", "operator", "admin"]
KeyState = Literal["active", "revoked"]
ProjectState = Literal["active", "deleted"]
Action = Literal["created", "changed", "deleted", "refused"]

_SEES: frozenset[Permission] = frozenset({"models:read", "files:read", "jobs:read", "batches:read", "clusters:read"})
_USES: frozenset[Permission] = _SEES | {"models:use", "files:write", "batches:write"}
_RUNS: frozenset[Permission] = _USES | {"jobs:write", "models:write", "clusters:write", "metrics:read"}

FOR_ALL: frozenset[Permission] = frozenset({"metrics:read", "projects:write"})
"""What concerns all projects: nothing for those who have a key of another than the default one."""

SPENDS: frozenset[Permission] = frozenset({"models:use", "batches:write"})
"""What uses tokens up: refused to a key that has none left for today."""

ROLES: dict[Role, frozenset[Permission]] = {
    "viewer": _SEES,
    "user": _USES,
    "operator": _RUNS,
    "admin": frozenset(get_args(Permission)),
}
"""What each role may do in its project; each may what the one before it may."""


class Project(Record):
    """A tenant: its rows, files, models and answers are seen by its own keys only."""

    id: str = Field(description="its name")
    state: ProjectState = "active"
    description: str = Field(default="", max_length=512)
    created_at: datetime


class KeySpec(Record):
    """What a key is to be."""

    project_id: str = DEFAULT_PROJECT
    name: str = Field(default="", max_length=128, description="whose it is, or what for")
    role: Role = "user"
    scopes: tuple[Permission, ...] = Field(default=(), description="nothing but these of the role's; empty: all")
    # With its time zone: a moment without one is not the same to everybody.
    expires_at: AwareDatetime | None = None
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    tokens_per_day: int | None = Field(default=None, ge=1, le=10**15, description="prompts and answers, by UTC days")


class KeyChange(Record):
    """What of a key can be changed; what is not named stays, and null takes a limit away."""

    name: str = Field(default="", max_length=128, description="whose it is, or what for")
    expires_at: AwareDatetime | None = None
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    tokens_per_day: int | None = Field(default=None, ge=1, le=10**15, description="prompts and answers, by UTC days")


class KeyTold(KeySpec):
    """What is told of a key."""

    id: str
    state: KeyState = "active"
    prefix: str = Field(description="how the key begins; enough to know it, and no secret")
    created_at: datetime
    last_used_at: datetime | None = None

    @property
    def told(self) -> "KeyTold":
        """The key without what is not told, such as its hash."""
        return KeyTold.model_validate(self.model_dump(include=set(KeyTold.model_fields)))


class ApiKey(KeyTold):
    """A key as it is recorded; the key itself is stored nowhere."""

    digest: str = Field(repr=False, description="SHA-256 of the key, in hex")


def permissions_of_key(key: KeySpec) -> frozenset[Permission]:
    """What a key may: its role's permissions, or those of its scopes; in another project nothing that is of all."""
    given = ROLES[key.role] & frozenset(key.scopes) if key.scopes else ROLES[key.role]
    return given if key.project_id == DEFAULT_PROJECT else given - FOR_ALL


class Principal(Record):
    """Whom a request comes from."""

    project_id: str
    role: Role
    key_id: str
    permissions: frozenset[Permission]
    tokens_per_day: int | None = None

    @property
    def counted_key(self) -> str:
        """The key whose tokens are to be counted; empty where there is no quota."""
        return self.key_id if self.tokens_per_day is not None else ""


INSTALLATION = Principal(
    project_id=DEFAULT_PROJECT, role="admin", key_id="installation", permissions=ROLES["admin"]
)  # fmt: skip
"""Who has the key that `fettle up` made, or FETTLE_API_KEY."""


class Actor(Record):
    """Who changes something, and from where, as the audit log tells it."""

    who: str = Field(description="a key's id, user:NAME at the command line, or system")
    origin: str = Field(default="", description="the client's address; empty for what comes from this machine")
    request_id: str = ""


SYSTEM = Actor(who="system")
_actor: ContextVar[Actor] = ContextVar("actor", default=SYSTEM)


class AuditEvent(Record):
    """A change, or a request that was refused: who made it, what it was, when, and from where."""

    id: int
    project_id: str
    at: datetime
    who: str
    action: Action
    kind: str = Field(description="of what was changed, e.g. 'file'")
    subject: str = Field(description="id of what was changed")
    origin: str = ""
    request_id: str = ""
    detail: dict[str, Any] = Field(default_factory=dict)


def actor() -> Actor:
    """Who is at work in this context: nobody but the system unless somebody was named."""
    return _actor.get()


def act_as(who: Actor) -> None:
    """Name who is at work, for the rest of this context (a request's task, a command's process)."""
    _actor.set(who)


@contextmanager
def acting_as(who: Actor) -> Iterator[None]:
    """Name who is at work inside the block."""
    before = _actor.set(who)
    try:
        yield
    finally:
        _actor.reset(before)
