"""TensorBoard: event files in the home folder, a folder per job. `tensorboard --logdir ~/.fettle/tensorboard`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fettle.services.sinks.sink import Sink, SinkKind
from fettle.types.resources import TuningJob


class TensorBoard:
    """A job's scalars."""

    def __init__(self, writer: Any) -> None:
        """Scalars go to `writer`, a tensorboardX.SummaryWriter."""
        self._writer = writer

    def write(self, values: Mapping[str, float], step: int) -> None:
        """One point of each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, state: str) -> None:
        """Write what is still in memory."""
        self._writer.close()


def open_tensorboard(job: TuningJob, home: Path) -> Sink:
    """The job's curves; one that goes on after an interruption goes on in its folder."""
    from tensorboardX import SummaryWriter

    return TensorBoard(SummaryWriter(str(home / "tensorboard" / f"{job.spec.name}-{job.id}")))


TENSORBOARD = SinkKind("tensorboard", module="tensorboardX", package="tensorboardX", open=open_tensorboard)
