"""How a tuning run looks while it goes on: a bar with loss and speed, and a line per validation."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Self

from fettle.cli.output import console, seconds_text
from fettle.types.evaluation import ProgressEvent
from fettle.types.tuning import EvaluationEvent, Metrics, StepEvent, TuningEvent

if TYPE_CHECKING:
    from rich.progress import Progress

_LEVELS = {"info": "", "warning": "[yellow]warning:[/] ", "error": "[red]error:[/] "}


class TuningProgress(AbstractContextManager["TuningProgress"]):
    """Shows the events of a tuning run on stderr; call it with each of them."""

    def __init__(self, title: str) -> None:
        """A display that has not begun; `title` stands in front of the bar."""
        self._bar = _bar()
        self._task = self._bar.add_task(title, total=None, told="preparing")

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave the lines, take the bar away."""
        self._bar.stop()

    def __call__(self, event: TuningEvent) -> None:
        """Show one event."""
        if isinstance(event, StepEvent):
            self._bar.update(self._task, completed=event.step, total=event.total_steps, told=step_text(event))
        elif isinstance(event, EvaluationEvent):
            self._bar.console.print(evaluation_text(event))
        else:
            self._bar.console.print(f"{_LEVELS[event.level]}{_escaped(event.text)}")


class EvaluationProgress(AbstractContextManager["EvaluationProgress"]):
    """Shows how far an evaluation is on stderr; call it with each of its events."""

    def __init__(self, title: str) -> None:
        """A display that has not begun; `title` stands in front of the bar."""
        self._bar = _bar()
        self._task = self._bar.add_task(title, total=None, told="loading")

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Show one event."""
        told = f"{event.done}/{event.total} rows  {event.tokens_per_second:,.0f} tokens/s"
        self._bar.update(self._task, completed=event.done, total=event.total, told=told)


def step_text(event: StepEvent) -> str:
    """What stands beside the bar."""
    left = f"{seconds_text(event.seconds_left)} left" if event.step < event.total_steps else "finishing"
    return (
        f"step {event.step}/{event.total_steps}  loss {event.loss:.3f}  token accuracy {event.token_accuracy:.1%}  "
        f"{event.tokens_per_second:,.0f} tokens/s  {left}"
    )


def evaluation_text(event: EvaluationEvent) -> str:
    """The line of one validation."""
    best = "  best so far" if event.is_best else ""
    return (
        f"epoch {event.epoch:g}  step {event.step}  training {_metrics_text(event.train)}  "
        f"validation {_metrics_text(event.validation)}{best}"
    )


def _metrics_text(metrics: Metrics) -> str:
    if metrics.choice_accuracy is not None:
        return f"loss {metrics.loss:.3f}, accuracy {metrics.choice_accuracy:.1%}"
    return f"loss {metrics.loss:.3f}, token accuracy {metrics.token_accuracy:.1%}"


def _bar() -> "Progress":
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}"),
    )
    shown = console(errors=True)
    # Into a file or a pipe go only the lines: a bar there would be noise.
    return Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
