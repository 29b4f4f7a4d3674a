"""`python -m fettle.workers.tune PLAN.json`: one tuning job, in its own process or several; events are lines on stdout.

Each line is a JSON object. With several processes, this one only starts them, each with one more argument, and the
first of them says the events.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fettle.errors import FettleError
from fettle.models.encoder_files import is_encoder
from fettle.tuning.classify import tune_classifier
from fettle.tuning.distributed import ALONE, Team, team
from fettle.tuning.tune import tune
from fettle.types.tuning import TuningEvent, TuningPlan, TuningResult
from fettle.workers.ranks import end_with_launcher, leave, run_ranks, tell_launcher


def main(arguments: list[str]) -> int:
    """Tune what the plan says; the exit code."""
    plan = TuningPlan.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    if len(arguments) > 1:
        leave(_as_rank(plan, Path(arguments[1])))
    error = _with_others(plan, arguments[0]) if plan.num_processes > 1 else _alone(plan)
    if error:
        _say(_told(error))
        return error.exit_code
    return 0


def _with_others(plan: TuningPlan, path: str) -> FettleError | None:
    # Layers that are brought together and let go leave holes: in a model of 28M weights, a third of the memory.
    is_sharded = plan.strategy != "ddp"
    return run_ranks("fettle.workers.tune", path, plan.num_processes, frees_at_once=is_sharded)


def _alone(plan: TuningPlan) -> FettleError | None:
    try:
        _carry_out(plan, ALONE)
    except FettleError as error:
        return error
    return None


def _as_rank(plan: TuningPlan, folder: Path) -> int:
    """Train with the other processes; an error goes into the launcher's folder."""
    end_with_launcher()
    with team() as others:
        try:
            _carry_out(plan.model_copy(update={"threads": max(plan.threads // others.size, 1)}), others)
        except FettleError as error:
            tell_launcher(folder, others.rank, _told(error))
            return error.exit_code
    return 0


def _carry_out(plan: TuningPlan, others: Team) -> None:
    carry_out = tune_classifier if is_encoder(Path(plan.base_path)) else tune

    def emit(event: TuningEvent) -> None:
        if others.is_first:
            _say(event.model_dump(mode="json"))

    result: TuningResult = carry_out(plan, emit, others)
    if others.is_first:
        _say({"type": "result", **result.model_dump(mode="json")})


def _told(error: FettleError) -> dict[str, Any]:
    return {"type": "error", "code": error.code, "message": error.message, "hint": error.hint, "param": error.param}


def _say(event: Mapping[str, Any]) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
