"""`python -m fettle.workers.tune PLAN.json`: one tuning job in its own process; events are JSON lines on stdout."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fettle.errors import FettleError
from fettle.models.encoder_files import is_encoder
from fettle.tuning.classify import tune_classifier
from fettle.tuning.tune import tune
from fettle.types.tuning import TuningPlan


def main(arguments: list[str]) -> int:
    """Tune what the plan says; the exit code."""
    plan = TuningPlan.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        carry_out = tune_classifier if is_encoder(Path(plan.base_path)) else tune
        result = carry_out(plan, lambda event: _say(event.model_dump(mode="json")))
    except FettleError as error:
        _say({"type": "error", "code": error.code, "message": error.message, "hint": error.hint, "param": error.param})
        return error.exit_code
    _say({"type": "result", **result.model_dump(mode="json")})
    return 0


def _say(event: Mapping[str, Any]) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
