"""`python -m fettle.workers.check SPEC.json`: look at a file of examples as the base model would read it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fettle.data.check import check_file
from fettle.data.sentences import Sentences
from fettle.data.template import Template
from fettle.errors import FettleError
from fettle.models.tokenizer import Tokenizer
from fettle.types.data import CheckPlan, DataReport
from fettle.types.encoder import ENCODER_FAMILIES


def main(arguments: Sequence[str]) -> int:
    """Check what the spec names and print the report as one JSON line; the exit code."""
    plan = CheckPlan.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        _emit(type="result", **run(plan).model_dump(mode="json"))
    except FettleError as error:
        _emit(type="error", code=error.code, message=error.message, hint=error.hint, param=error.param)
        return error.exit_code
    return 0


def run(plan: CheckPlan) -> DataReport:
    """The report on the plan's files.

    Raises:
        FettleError: a file cannot be read, or the model's tokenizer cannot.
    """
    return check_file(plan.path, _reader(plan), plan.context, plan.validation_path)


def _reader(plan: CheckPlan) -> Template | Sentences | None:
    """What makes tokens of rows, as the base model reads them."""
    if not plan.base_path:
        return None
    tokenizer, config = Tokenizer.load(Path(plan.base_path)), Path(plan.base_path) / "config.json"
    family = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else None
    return Sentences(tokenizer) if family in ENCODER_FAMILIES else Template(tokenizer)


def _emit(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
