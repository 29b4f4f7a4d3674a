"""`Record`: the base of everything that is written down, sent or stored; and how its faults are told."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from fettle.errors import InvalidInput

_MAX_SHOWN = 200


class Record(BaseModel):
    """An immutable value with checked fields; the same object in Python, in JSON and on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def checked(cls, values: Any) -> Self:
        """Build one from untrusted values.

        Raises:
            InvalidInput: with every fault, its field, its value and what was expected.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidInput(told(error), param=field_of(error)) from error


def told(error: ValidationError) -> str:
    """All faults of a validation error in one message, a line each."""
    return "\n".join(_sentence(fault) for fault in error.errors())


def field_of(error: ValidationError) -> str:
    """The dotted name of the first field at fault."""
    return ".".join(str(part) for part in error.errors()[0]["loc"])


def _sentence(fault: Any) -> str:
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown field '{field}'"
    if fault["type"] == "missing":
        return f"'{field}' is missing"
    message = fault["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return f"'{field}' is {_shown(fault['input'])}: {message}" if field else message


def _shown(value: Any) -> str:
    """A value, shortened: it may be a whole document."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
