"""API keys: made once, shown once, kept as a hash; each belongs to a project, with a role and limits."""

import hashlib
import logging
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from fettle.errors import Conflict, Forbidden, InvalidInput, NotFound, StorageFailed, Unauthorized
from fettle.services.projects import Projects, active_project
from fettle.services.quotas import Quotas
from fettle.store.repository import Records, Repository
from fettle.types.access import INSTALLATION, ROLES, ApiKey, KeyChange, KeySpec, Principal, permissions_of_key
from fettle.types.ids import new_id, now

log = logging.getLogger(__name__)
_PREFIX_BYTES = 4
#: As long as `fettle-` and the public part: what is recorded to find a key again.
_PREFIX_LENGTH = len("fettle-") + 2 * _PREFIX_BYTES
#: How exact `last_used_at` is: a busy key is not written down with every request.
_TOUCH = timedelta(minutes=1)


def new_key() -> str:
    """A fresh key: a public part to know it by, and 256 random bits."""
    return f"fettle-{secrets.token_hex(_PREFIX_BYTES)}-{secrets.token_urlsafe(32)}"


def digest_of(key: str) -> str:
    """SHA-256 in hex; keys are random, so nothing slower is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The keys of all projects."""

    def __init__(self, repository: Repository, projects: Projects, quotas: Quotas) -> None:
        """The keys in `repository`."""
        self._repository, self._projects, self.quotas = repository, projects, quotas

    def create(self, spec: KeySpec) -> tuple[ApiKey, str]:
        """Record a key; it and the key itself, which is stored nowhere.

        Raises:
            NotFound: there is no such project.
            InvalidInput: with all that is wrong with the spec.
        """
        if faults := list(_faults(spec)):
            raise InvalidInput("\n".join(faults), param="scopes")
        key = new_key()
        about = {"id": new_id("key"), "prefix": key[:_PREFIX_LENGTH], "digest": digest_of(key), "created_at": now()}
        with self._repository.write() as records:
            active_project(records, spec.project_id)
            return records.insert(ApiKey.model_validate({**dict(spec), **about})), key

    def list(self, project: str | None = None) -> list[ApiKey]:
        """The keys of a project, or of all, oldest first.

        Raises:
            NotFound: there is no such project.
        """
        return self._repository.find(ApiKey, **({"project_id": self._projects.get(project).id} if project else {}))

    def page(self, *, after: str | None = None, limit: int, project: str | None = None) -> Sequence[ApiKey]:
        """At most `limit` keys of a project, or of all, the newest first, from the one behind the key `after`.

        Raises:
            NotFound: there is no key `after`.
        """
        return self._repository.of(project).page(ApiKey, after=after, limit=limit)

    def revoke(self, name: str, project: str | None = None) -> ApiKey:
        """End a key at once, by its id or by how it begins; one of a project, if that is named.

        Raises:
            NotFound: there is no such key.
            InvalidInput: several keys begin so.
            Conflict: it was revoked before.
        """
        with self._repository.of(project).write() as records:
            return records.move(ApiKey, _named(name, records).id, "revoked")

    def change(self, name: str, changes: KeyChange, by: Principal = INSTALLATION, project: str | None = None) -> ApiKey:
        """Give a key other limits, named as for `revoke`; what `changes` does not name stays as it is.

        Raises:
            NotFound: there is no such key.
            InvalidInput: several keys begin so, it would have expired already, or nothing is to be changed.
            Conflict: it was revoked.
            Forbidden: it may what `by` may not, who must not prolong it.
        """
        wanted = changes.model_dump(exclude_unset=True)
        if not wanted:
            raise InvalidInput("nothing is to be changed", hint=f"Name one of {', '.join(KeyChange.model_fields)}.")
        if changes.expires_at and changes.expires_at <= now():
            raise InvalidInput(_over(changes.expires_at), hint="Revoke a key to end it.", param="expires_at")
        with self._repository.of(project).write() as records:
            key = _named(name, records)
            check_may_give(by, key)
            if key.state == "revoked":
                raise Conflict(f"the key {key.id!r} was revoked", hint="Make another.", param="key")
            return records.update(key, **wanted)

    def authenticate(self, key: str) -> Principal:
        """Whom a key belongs to.

        Raises:
            Unauthorized: there is no such key, or it was revoked or has expired.
            QuotaExceeded: it has sent as many requests as it may in a minute.
        """
        digest = digest_of(key)
        known = self._repository.find(ApiKey, prefix=key[:_PREFIX_LENGTH])
        found = next((one for one in known if secrets.compare_digest(one.digest, digest)), None)
        if found is None:
            raise wrong_key()
        if found.state == "revoked":
            raise Unauthorized("the API key was revoked", hint="Ask an administrator for another.")
        if found.expires_at and found.expires_at <= now():
            told = f"the API key has expired at {found.expires_at:%Y-%m-%d %H:%M} UTC"
            raise Unauthorized(told, hint="Ask an administrator for another.")
        self._touch(found)
        if found.requests_per_minute is not None:
            self.quotas.take_request(found.id, found.requests_per_minute)
        return Principal(
            project_id=found.project_id,
            role=found.role,
            key_id=found.id,
            permissions=permissions_of_key(found),
            tokens_per_day=found.tokens_per_day,
        )

    def _touch(self, key: ApiKey) -> None:
        moment = now()
        if key.last_used_at is None or moment - key.last_used_at >= _TOUCH:
            try:
                self._repository.touch(ApiKey, key.id, last_used_at=moment)
            except StorageFailed as error:
                # Nobody is refused for a full disk who only reads.
                log.warning("a key's last use could not be written down", extra={"key": key.id, "error": str(error)})


def check_may_give(principal: Principal, key: KeySpec) -> None:
    """See that nobody gives more than he has.

    Raises:
        Forbidden: the key may what the principal may not.
    """
    if more := permissions_of_key(key) - principal.permissions:
        hint = "Give it another role, or name scopes that you have."
        raise Forbidden(f"your own key has no permission {', '.join(sorted(more))}", hint=hint)


def wrong_key() -> Unauthorized:
    """The error for a key that nobody has."""
    hint = "`fettle keys create` makes one; the first was printed by `fettle up` (`--new-key` makes it anew)."
    return Unauthorized("the API key is wrong", hint=hint)


def _named(name: str, records: Records) -> ApiKey:
    if found := records.find(ApiKey, prefix=name) or records.find(ApiKey, id=name):
        if len(found) > 1:
            raise InvalidInput(f"{len(found)} keys begin with {name!r}", hint="Name the key by its id.")
        return found[0]
    # Without what was asked for, which may have been a key.
    hint = "`fettle keys list` shows ids and beginnings; a key itself is never needed here."
    raise NotFound("there is no such key", hint=hint, param="key")


def _over(moment: datetime) -> str:
    return f"'expires_at' is {moment:%Y-%m-%d %H:%M} UTC, which is over"


def _faults(spec: KeySpec) -> Iterator[str]:
    for scope in sorted(set(spec.scopes) - ROLES[spec.role]):
        yield f"the role {spec.role!r} has no permission {scope!r}; it has {', '.join(sorted(ROLES[spec.role]))}"
    if spec.expires_at and spec.expires_at <= now():
        yield _over(spec.expires_at)
