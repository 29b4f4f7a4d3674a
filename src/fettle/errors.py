"""Every error Fettle raises on purpose, on one page: code, HTTP status, exit code, hint."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

#: Names in a hint, which may be thousands.
_MOST_SHOWN = 20


class FettleError(Exception):
    """Something a user can act on; anything that is not one of these is a bug.

    Attributes:
        code: stable snake_case name for programs.
        http_status: what a server answers with.
        exit_code: what the command line ends with (1 failed, 2 wrong input).
        hint: what to do about it, or "".
        param: the field at fault, or "".
    """

    code = "failed"
    http_status = 500
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", param: str = "") -> None:
        super().__init__(message)
        self.message, self.hint, self.param = message, hint, param

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InvalidInput(FettleError):
    """A value given by the user cannot be used."""

    code, http_status, exit_code = "invalid_input", 400, 2


class InvalidRows(InvalidInput):
    """Rows of a data file cannot be used; every one of them is named."""

    code = "invalid_rows"

    def __init__(self, message: str, *, faults: Sequence[str] = (), hint: str = "") -> None:
        super().__init__("\n".join([message, *(f"  {fault}" for fault in faults)]), hint=hint)
        self.faults = tuple(faults)


class NotFound(FettleError):
    """The named thing does not exist."""

    code, http_status, exit_code = "not_found", 404, 2


class Conflict(FettleError):
    """The thing exists already, or is not in a state that allows this."""

    code, http_status, exit_code = "conflict", 409, 2


class Unauthorized(FettleError):
    """The API key is missing or wrong."""

    code, http_status, exit_code = "invalid_api_key", 401, 2


class Forbidden(FettleError):
    """The API key is right, and does not allow this."""

    code, http_status, exit_code = "forbidden", 403, 2


class TooManyRequests(FettleError):
    """The server has as much work as it accepts; try again later."""

    code, http_status, exit_code = "too_many_requests", 429, 1
    retry_after_seconds = 1


class QuotaExceeded(TooManyRequests):
    """An API key has used up what it may in a minute or a day."""

    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after_seconds: int = 1, hint: str = "", param: str = "") -> None:
        super().__init__(message, hint=hint, param=param)
        self.retry_after_seconds = retry_after_seconds


class TooLarge(InvalidInput):
    """The request is longer than the server accepts."""

    code, http_status = "too_large", 413


class Unavailable(FettleError):
    """A part that is needed does not run (now)."""

    code, http_status, exit_code = "unavailable", 503, 1


class Ending(Unavailable):
    """What was asked ends in good order and has not begun with this; its successor can be asked."""


class StorageFailed(FettleError):
    """A file or folder could not be read or written (full disk, missing rights)."""

    code, http_status, exit_code = "storage_failed", 507, 1


class UnsupportedModel(InvalidInput):
    """The model's files are not ones Fettle can load."""

    code = "unsupported_model"


class TrainingFailed(FettleError):
    """Training stopped for a reason that the message names."""

    code = "training_failed"


class WorkerDied(FettleError):
    """A worker process ended without saying why; its last words are in the message."""

    code = "worker_died"


def all_errors() -> dict[str, type[FettleError]]:
    """Every error class by its code, so that an error can cross a process border."""
    classes: list[type[FettleError]] = [FettleError]
    for cls in classes:
        classes.extend(cls.__subclasses__())
    return {cls.code: cls for cls in reversed(classes)}


def unknown(what: str, name: str, known: Iterable[str], *, param: str = "") -> NotFound:
    """The error for a name that is in no table, with the nearest known one as a hint."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    shown = ", ".join([*names[:_MOST_SHOWN], *(["..."] if len(names) > _MOST_SHOWN else [])])
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {shown or 'none yet'}."
    return NotFound(f"unknown {what} {name!r}", hint=hint, param=param)
