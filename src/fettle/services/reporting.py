"""Shows a running job's measurements in the sinks that the installation is set to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from fettle.errors import InvalidInput
from fettle.services.sinks import SINKS
from fettle.services.sinks.sink import Sink, measurements
from fettle.types.resources import TuningJob
from fettle.types.tuning import MessageEvent, TuningEvent


def check_sinks(names: Sequence[str]) -> None:
    """Every name is a sink whose library is installed.

    Raises:
        InvalidInput: some are not; all of them are named.
    """
    missing = {name: SINKS[name].package for name in names if not find_spec(SINKS[name].module)}
    if missing:
        raise InvalidInput(
            f"FETTLE_REPORT_TO={','.join(names)}: {', '.join(missing)} cannot be used, a package is not installed",
            hint=f"Install it with: pip install {' '.join(missing.values())}",
            param="report_to",
        )


class Reporter:
    """Hands a job's measurements to every sink; one that fails is told of once and left out from then on."""

    def __init__(self, names: Sequence[str], job: TuningJob, home: Path, tell: Callable[[MessageEvent], None]) -> None:
        """Open the sinks with these names; `tell` takes what there is to say about them."""
        self._tell, self._sinks = tell, dict[str, Sink]()
        for name in names:
            with self._leaving_out(name):
                self._sinks[name] = SINKS[name].open(job, home)

    def write(self, event: TuningEvent) -> None:
        """Show what is measured in an event."""
        if isinstance(event, MessageEvent):
            return
        for name, sink in list(self._sinks.items()):
            with self._leaving_out(name):
                sink.write(measurements(event), event.step)

    def ahead_of(self, tell: Callable[[TuningEvent], None]) -> Callable[[TuningEvent], None]:
        """What shows an event and then tells it."""

        def show(event: TuningEvent) -> None:
            self.write(event)
            tell(event)

        return show

    def close(self, state: str) -> None:
        """Nothing more comes: the job has become `state`."""
        for name, sink in list(self._sinks.items()):
            with self._leaving_out(name):
                sink.close(state)

    @contextmanager
    def _leaving_out(self, name: str) -> Iterator[None]:
        """What goes wrong inside leaves this sink out."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            # Whatever a tracking server or its library does, hours of training do not end because of it.
            self._sinks.pop(name, None)
            text = f"{name} does not show this job (any more): {error}"
            self._tell(MessageEvent(level="warning", code="sink_failed", text=text))
