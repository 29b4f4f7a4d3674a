"""A classifier that is evaluated: the likeliest label of each text is its answer."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fettle.errors import FettleError, InvalidInput
from fettle.evaluation.questions import Question
from fettle.evaluation.runner import Answer
from fettle.models.tokenizer import Tokenizer
from fettle.serving.encoder_engine import EncoderEngine
from fettle.types.encoding import Encoded, EncodeRequest
from fettle.types.evaluation import EvaluationPlan
from fettle.workers.encoder_engine import TextTokens

ADAPTER = "evaluated"


class Classifying:
    """A classifier that answers many questions.

    Attributes:
        metrics: those that fit it.
    """

    metrics = ("accuracy", "macro_f1")

    def __init__(self, plan: EvaluationPlan) -> None:
        """Load the plan's model, and its tuned version where it has one."""
        base = Path(plan.base_path)
        self._engine, self._tokens = EncoderEngine.load(base), TextTokens(Tokenizer.load(base))
        self._adapter = ADAPTER if plan.adapter_path else None
        if plan.adapter_path:
            self._engine.add_adapter(ADAPTER, Path(plan.adapter_path))

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        """Each question's place and answer, as they are finished.

        Raises:
            InvalidInput: the model has no classes, or rows cannot be asked; all of them are named.
        """
        faults = [fault for place, question in enumerate(questions) if (fault := self._ask(place, question))]
        if faults:
            raise InvalidInput("\n".join([f"{len(faults)} rows cannot be asked:", *faults[:20]]))
        while self._engine.has_work:
            for place, ended in self._engine.step():
                if isinstance(ended, FettleError):
                    raise ended
                yield int(place), _answer(ended)

    def _ask(self, place: int, question: Question) -> str:
        """Queue a question; what is wrong with it, or nothing."""
        if question.choices or len(question.messages) != 1:
            return f"  line {question.line}: is no text with one label"
        request = EncodeRequest(model="this model", inputs=(question.messages[0].content,), task="classify")
        try:
            self._engine.add(str(place), request, self._tokens.of(request), self._adapter)
        except FettleError as error:
            return f"  line {question.line}: {error.message}"
        return ""


def _answer(encoded: Encoded) -> Answer:
    likeliest = int(np.frombuffer(encoded.values[0], "<f4").argmax())
    return Answer(encoded.labels[likeliest], encoded.prompt_tokens, 0)
