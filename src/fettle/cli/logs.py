"""The server's log on standard error: lines for people, or one JSON object each."""

import logging
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from fettle.types.access import actor

_JSON = "%(asctime)s %(levelname)s %(name)s %(message)s"
_NAMES = {"asctime": "time", "levelname": "level", "name": "logger"}


class TextFormatter(logging.Formatter):
    """The message, then `name=value` of whatever else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback if there is one."""
        extras = [f"{name}={value}" for name, value in vars(record).items() if name not in _USUAL]
        line, *traceback = super().format(record).split("\n")
        return "\n".join([" ".join([line, *extras]), *traceback])


class Who(logging.Filter):
    """Adds the request and the key on whose behalf a line is told."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass; what it says of itself stays."""
        who = actor()
        known: dict[str, Any] = {"request_id": who.request_id, "key": who.who} if who.request_id else {}
        vars(record).update(known | vars(record))
        return True


_USUAL = {*RESERVED_ATTRS, "asctime", "message"}


def write_logs(level: str, form: str) -> None:
    """Log from `level` on, as "text" or "json"; replaces what was set before."""
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(form))
    handler.addFilter(Who())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    # Libraries' chatter (addresses asked, statements run) may hold what is secret.
    logging.getLogger("fettle").setLevel(level.upper())


def _formatter(form: str) -> logging.Formatter:
    if form == "json":
        return JsonFormatter(_JSON, datefmt="%Y-%m-%dT%H:%M:%S%z", rename_fields=_NAMES)
    return TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
