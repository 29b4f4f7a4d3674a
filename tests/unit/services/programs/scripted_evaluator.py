"""An evaluator that reports what it was asked; its only prediction is whose weights were to answer."""

import json
import sys
from pathlib import Path

from fettle.types.evaluation import EvaluationPlan

plan = EvaluationPlan.model_validate_json(Path(sys.argv[1]).read_text())
predictions = Path(plan.output_path) / "predictions.jsonl"
predictions.parent.mkdir(parents=True, exist_ok=True)
predictions.write_text(plan.adapter_path or plan.base_path)
print(json.dumps({"type": "progress", "done": 1, "total": 2, "tokens_per_second": 3.0}), flush=True)
score = {"mean": 1.0, "low": 1.0, "high": 1.0, "count": 2}
report = {
    "rows": plan.limit or 2,
    "scores": dict.fromkeys(plan.metrics, score),
    "prompt_tokens": 1,
    "completion_tokens": plan.max_tokens,
    "truncated": 0,
    "seconds": 1.0,
    "tokens_per_second": 1.0,
    "predictions_path": str(predictions),
}
print(json.dumps({"type": "result", **report}), flush=True)
