"""Ask a model every question of a file, score the answers, and write both down."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fettle.errors import InvalidInput, StorageFailed
from fettle.evaluation.metrics import METRICS
from fettle.evaluation.questions import Question
from fettle.evaluation.scores import row_parts, scores
from fettle.types.evaluation import EvaluationReport, ProgressEvent


class Answer(NamedTuple):
    """What a model made of a question."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    is_cut_off: bool = False


# All questions at once, so that they can share batches; answers come with their question's place, as they are finished.
Generate = Callable[[Sequence[Question]], Iterator[tuple[int, Answer]]]


def evaluate(
    questions: Sequence[Question],
    generate: Generate,
    output: Path,
    *,
    metrics: Sequence[str] = (),
    seed: int,
    on_progress: Callable[[ProgressEvent], None],
) -> EvaluationReport:
    """Answers in `output`/predictions.jsonl, the report there and returned.

    Raises:
        InvalidInput: there is nothing to ask.
        NotFound: there is no such metric.
        StorageFailed: the results cannot be written.
    """
    if not questions:
        raise InvalidInput("there are no rows to evaluate")
    texts = [name for name, metric in METRICS.items() if not metric.for_classes]
    wanted = [METRICS[name] and name for name in metrics] or texts
    start = time.perf_counter()
    answers = _answers(questions, generate, on_progress, start)
    seconds = time.perf_counter() - start
    parts = [row_parts(answer.text, q.expected, wanted) for q, answer in zip(questions, answers, strict=True)]
    predictions = output / "predictions.jsonl"
    report = EvaluationReport(
        rows=len(questions),
        scores=scores(parts, seed=seed),
        prompt_tokens=sum(answer.prompt_tokens for answer in answers),
        completion_tokens=(made := sum(answer.completion_tokens for answer in answers)),
        truncated=sum(answer.is_cut_off for answer in answers),
        seconds=seconds,
        tokens_per_second=made / seconds,
        predictions_path=str(predictions),
        confusion=_confusion(questions, answers) if any(METRICS[name].for_classes for name in wanted) else {},
    )
    rows = [
        _row(q, answer, {name: part.got / part.of for name, part in row.items() if part.of})
        for q, answer, row in zip(questions, answers, parts, strict=True)
    ]
    _write(output, {predictions.name: rows, "report.json": [report.model_dump(mode="json")]})
    return report


def _answers(
    questions: Sequence[Question], generate: Generate, on_progress: Callable[[ProgressEvent], None], start: float
) -> list[Answer]:
    found: dict[int, Answer] = {}
    made = 0
    for place, answer in generate(questions):
        found[place] = answer
        made += answer.completion_tokens
        speed = made / (time.perf_counter() - start)
        on_progress(ProgressEvent(done=len(found), total=len(questions), tokens_per_second=speed))
    return [found[place] for place in range(len(questions))]


def _confusion(questions: Sequence[Question], answers: Sequence[Answer]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for question, answer in zip(questions, answers, strict=True):
        row = table.setdefault(question.expected, {})
        row[answer.text] = row.get(answer.text, 0) + 1
    return table


def _row(question: Question, answer: Answer, row_scores: dict[str, float]) -> dict[str, object]:
    return {
        "line": question.line,
        "prompt": question.prompt,
        "expected": question.expected,
        "answer": answer.text,
        "scores": row_scores,
        "completion_tokens": answer.completion_tokens,
        "cut_off": answer.is_cut_off,
    }


def _write(folder: Path, files: dict[str, list[dict[str, object]]]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in files.items():
            with (folder / name).open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except OSError as error:
        raise StorageFailed(f"the evaluation cannot be written to {folder}: {error.strerror}") from error
