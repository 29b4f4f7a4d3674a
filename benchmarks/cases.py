"""What is tuned with which method on what rows, how it is scored, and one such run."""

import io
import json
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from fettle.adapters.classifiers import methods_of
from fettle.adapters.methods import Method
from fettle.data.files import read_rows
from fettle.data.samples import support_tickets
from fettle.errors import TrainingFailed
from fettle.models.encoder_files import is_encoder
from fettle.registry.base_models import not_installed, packaged
from fettle.tuning.classify import tune_classifier
from fettle.tuning.tune import tune
from fettle.types.evaluation import EvaluationPlan
from fettle.types.resources import BaseModelEntry
from fettle.types.tuning import EvaluationEvent, TuningPlan, TuningSpec
from fettle.workers.evaluate import run as evaluate

SEED = 5
PARTS = ("mean", "low", "high")
Row = dict[str, Any]


class Case(NamedTuple):
    """A method on a base model, and the form of the rows that it learns from."""

    method: str
    form: str = "pairs"
    base: str = "pocket"


#: Every method, and the forms of rows that it was made for.
CASES = {
    "full": Case("full"),
    "last-layers": Case("last-layers"),
    "lora": Case("lora"),
    "qlora": Case("qlora"),
    "adapter": Case("adapter"),
    "tfew": Case("tfew"),
    "prompt": Case("prompt"),
    "prefix": Case("prefix"),
    "tfew-choices": Case("tfew", "choices"),
    "dpo": Case("dpo", "preferences"),
    "classifier-full": Case("full", "labels", "minilm"),
    "classifier-last-layers": Case("last-layers", "labels", "minilm"),
    "classifier-lora": Case("lora", "labels", "minilm"),
    "classifier-head": Case("head", "labels", "minilm"),
}


class Part(NamedTuple):
    """Rows of `prompt` and a `completion` that is a JSON object, one `field` of which has only these values."""

    rows: Sequence[Row]
    field: str
    values: Sequence[str]

    def objects(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each row's prompt, and its object."""
        yield from ((row["prompt"], json.loads(row["completion"])) for row in self.rows)


class Pairs(NamedTuple):
    """Rows to train on and rows to score, as in `Part`."""

    train: Sequence[Row]
    test: Sequence[Row]
    field: str

    def written(self, form: str, folder: Path) -> tuple[Path, Path]:
        """Files of the rows to tune on and to score on, in a form of FORMS."""
        values = sorted({json.loads(row["completion"])[self.field] for row in self.train})
        train, test = (FORMS[form](Part(rows, self.field, values)) for rows in (self.train, self.test))
        return write(folder / "train.jsonl", train), write(folder / "test.jsonl", test)


def tickets(num_train: int, num_test: int, seed: int = SEED) -> Pairs:
    """Support requests and their tickets; no request is in both parts."""
    rows = support_tickets(num_train + num_test, seed)
    return Pairs(list(islice(rows, num_train)), list(rows), "action")


def from_files(train: Path, test: Path, num_train: int, num_test: int, field: str = "intent") -> Pairs:
    """Rows of two files, drawn in an order that does not follow the files'."""
    return Pairs(_drawn(train, num_train), _drawn(test, num_test), field)


def _drawn(path: Path, count: int) -> list[Row]:
    rows = [row for _, row in read_rows(path)]
    random.Random(SEED).shuffle(rows)
    return rows[:count]


def write(path: Path, rows: Iterable[Row]) -> Path:
    """The file, with a row a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _pairs(part: Part) -> Iterator[Row]:
    yield from ({name: row[name] for name in ("prompt", "completion")} for row in part.rows)


def _choices(part: Part) -> Iterator[Row]:
    for prompt, right in part.objects():
        yield {"prompt": prompt, "choices": part.values, "answer": right[part.field]}


def _labels(part: Part) -> Iterator[Row]:
    yield from ({"text": prompt, "label": right[part.field]} for prompt, right in part.objects())


def _preferences(part: Part) -> Iterator[Row]:
    """The right object, and one that has another row's value in one of its fields."""
    draw = random.Random(SEED)
    objects = [right for _, right in part.objects()]
    for row, right in zip(part.rows, objects, strict=True):
        name = draw.choice(list(right))
        other = draw.choice([value for each in objects if (value := each.get(name)) != right[name]])
        rejected = json.dumps(right | {name: other}, ensure_ascii=False)
        yield {"prompt": row["prompt"], "chosen": row["completion"], "rejected": rejected}


FORMS = {"pairs": _pairs, "choices": _choices, "preferences": _preferences, "labels": _labels}


def base_model(name: str) -> BaseModelEntry:
    """A base model that ships with Fettle and is installed."""
    if error := not_installed(name):
        raise SystemExit(f"{error.message}. {error.hint}")
    return next(entry for entry in packaged() if entry.name == name)


def method_of(case: Case) -> Method:
    """The method as it acts on the case's base model."""
    return methods_of(base_model(case.base).family)[case.method]


def plan_of(case: Case, settings: Mapping[str, Any], train: Path, folder: Path, **more: Any) -> TuningPlan:
    """How the case is tuned, with its files in `folder`."""
    spec = TuningSpec.from_settings(settings, base=case.base, method=case.method, name="x")
    paths = {name: str(folder / name) for name in ("work", "output")}
    base = base_model(case.base).path
    return TuningPlan(
        spec=spec,
        base_path=base,
        train_path=str(train),
        work_path=paths["work"],
        output_path=paths["output"],
        **more,
    )


def tuned(
    case: Case, settings: Mapping[str, Any], train: Path, test: Path, *, threads: int, validates: bool = False
) -> dict[str, Any]:
    """What came of tuning the case: scores on `test`, sizes and speed; or how it failed.

    Where `test` validates too, its losses are told beside the scores, and the best of them chooses what is scored.
    """
    with tempfile.TemporaryDirectory() as name:
        validation = str(test) if validates else None
        plan = plan_of(case, settings, train, Path(name), validation_path=validation, threads=threads)
        told = {"method": case.method, "form": case.form, "base": case.base, "settings": dict(settings)}
        try:
            return told | _run(plan, test)
        except TrainingFailed as error:
            return told | {"failed": error.message}


def _run(plan: TuningPlan, test: Path) -> dict[str, Any]:
    events: list[Any] = []
    start = time.process_time()
    result = (tune_classifier if is_encoder(Path(plan.base_path)) else tune)(plan, events.append)
    seconds = time.process_time() - start
    output = Path(plan.output_path)
    return {
        "scores": _scores(plan, test),
        "validation_loss": [round(e.validation.loss, 4) for e in events if isinstance(e, EvaluationEvent)],
        "cpu_seconds": round(seconds, 1),
        "tokens_per_cpu_second": round(result.trained_tokens / seconds),
        "trained_parameters": result.trained_parameters,
        "bytes": sum(path.stat().st_size for path in output.glob("*.safetensors")),
    }


def _scores(plan: TuningPlan, test: Path) -> dict[str, dict[str, float]]:
    """Each metric's mean and its 95 % interval."""
    is_whole = (Path(plan.output_path) / "config.json").exists()
    asked = EvaluationPlan(
        base_path=plan.output_path if is_whole else plan.base_path,
        adapter_path=None if is_whole else plan.output_path,
        rows_path=str(test),
        output_path=f"{plan.output_path}/evaluation",
        max_tokens=96,
        threads=plan.threads,
    )
    with redirect_stdout(io.StringIO()):
        found = evaluate(asked).scores
    return {name: {part: round(getattr(score, part), 4) for part in PARTS} for name, score in found.items()}
