"""`python -m fettle.workers.evaluate SPEC.json`: answer a file's questions and score the answers.

Progress and the report go to standard output, one JSON object a line; the log goes to standard error.
"""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from fettle.clusters.frames import error_from
from fettle.errors import FettleError, InvalidInput
from fettle.evaluation.questions import Question, read_questions
from fettle.evaluation.runner import Answer, evaluate
from fettle.models.encoder_files import is_encoder
from fettle.serving import Engine, EngineSettings
from fettle.types.evaluation import EvaluationPlan, EvaluationReport
from fettle.types.generation import GenerateRequest, SamplingParams
from fettle.types.record import Record
from fettle.workers.classifying import Classifying
from fettle.workers.pending import SCORED, Chosen, Pending, Written
from fettle.workers.prompts import Prompts

log = logging.getLogger(__name__)
ADAPTER = "evaluated"


def main(arguments: Sequence[str]) -> int:
    """Evaluate what the spec names; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    plan = EvaluationPlan.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        report = run(plan)
    except FettleError as error:
        _emit(type="error", code=error.code, message=error.message, hint=error.hint, param=error.param)
        return error.exit_code
    _emit(type="result", **report.model_dump(mode="json"))
    return 0


def run(plan: EvaluationPlan) -> EvaluationReport:
    """Load the model, ask everything, score and write.

    Raises:
        FettleError: the model, the rows or the place for the results cannot be used.
    """
    torch.set_num_threads(plan.threads)
    questions = read_questions(Path(plan.rows_path), limit=plan.limit)
    model = Classifying(plan) if is_encoder(Path(plan.base_path)) else Answering(plan)
    return evaluate(
        questions,
        model.answers,
        Path(plan.output_path),
        metrics=plan.metrics or model.metrics,
        seed=plan.seed,
        on_progress=lambda event: _emit(**_plain(event)),
    )


class Answering:
    """A model that answers many questions greedily, all in one continuous batch.

    Attributes:
        metrics: those that fit it; none means all that compare texts.
    """

    metrics: tuple[str, ...] = ()

    def __init__(self, plan: EvaluationPlan) -> None:
        """Load the plan's model, and its adapter where it has one."""
        base = Path(plan.base_path)
        self._engine = Engine.load(base, EngineSettings(dtype=plan.dtype, weights=plan.weights))
        self._prompts = Prompts.load(base)
        self._adapter = ADAPTER if plan.adapter_path else None
        self._sampling = SamplingParams(temperature=0, max_tokens=plan.max_tokens)
        if plan.adapter_path:
            self._engine.add_adapter(ADAPTER, Path(plan.adapter_path))
            self._prompts.add_adapter(ADAPTER, Path(plan.adapter_path))

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        """Each question's place and answer, as they are finished."""
        pending = self._ask(questions)
        while self._engine.has_work:
            for chunk in self._engine.step():
                if chunk.error_code:
                    raise error_from({"code": chunk.error_code, "message": chunk.error})
                place = int(chunk.request_id.partition(".")[0])
                if (answer := pending[place].take(chunk)) is not None:
                    yield place, answer

    def _ask(self, questions: Sequence[Question]) -> list[Pending]:
        pending: list[Pending] = []
        faults = []
        for place, question in enumerate(questions):
            asked = GenerateRequest(model=ADAPTER, messages=question.messages, sampling=self._sampling)
            try:
                requests, waiting = self._requests(asked, question)
                for number, request in enumerate(requests):
                    self._engine.add(f"{place}.{number}", request, adapter=self._adapter)
                pending.append(waiting)
            except FettleError as error:
                faults.append(f"  line {question.line}: {error.message}")
        if faults:
            raise InvalidInput("\n".join([f"{len(faults)} rows cannot be asked:", *faults[:20]]))
        return pending

    def _requests(self, asked: GenerateRequest, question: Question) -> tuple[list[GenerateRequest], Pending]:
        """What the engine is given for a question: its prompt, or its prompt with each of the choices."""
        if not question.choices:
            return [self._prompts.tokenized(asked, self._adapter)], Written()
        asked = asked.model_copy(update={"sampling": SCORED})
        answered = [self._prompts.answered(asked, self._adapter, choice) for choice in question.choices]
        return [request for request, _ in answered], Chosen(question.choices, [size for _, size in answered])


def _plain(event: Record) -> dict[str, object]:
    return event.model_dump(mode="json")


def _emit(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
