"""`python -m fettle.workers.sweep PLAN.json`: several tuning jobs in one process; events are JSON lines on stdout."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fettle.errors import FettleError
from fettle.tuning.sweep import tune_jointly
from fettle.types.sweeps import SweepPlan
from fettle.types.tuning import TuningResult


def main(arguments: list[str]) -> int:
    """Tune what the plan says; the exit code, which is 0 also where some of the runs have failed."""
    plan = SweepPlan.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    tune_jointly(
        plan.plans,
        lambda number, event: _say(number, event.model_dump(mode="json")),
        lambda number, how: _say(number, _told(how)),
    )
    print(json.dumps({"type": "result"}), flush=True)
    return 0


def _told(how: TuningResult | FettleError) -> dict[str, Any]:
    if isinstance(how, FettleError):
        return {"type": "error", "code": how.code, "message": how.message, "hint": how.hint, "param": how.param}
    return {"type": "result", **how.model_dump(mode="json")}


def _say(number: int, event: Mapping[str, Any]) -> None:
    print(json.dumps({"type": "run", "run": number, "event": event}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
