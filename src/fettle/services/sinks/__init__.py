"""Where a tuning job's measurements are shown besides Fettle: a table of sinks, a file for each."""

from fettle.plugins import Table, by_name
from fettle.services.sinks.mlflow import MLFLOW
from fettle.services.sinks.sink import SinkKind
from fettle.services.sinks.tensorboard import TENSORBOARD

SINKS: Table[SinkKind] = Table("metric sink", "sinks", by_name([TENSORBOARD, MLFLOW]))
