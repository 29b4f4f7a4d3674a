"""The ways of tuning that are compared; each trains one epoch on the same rows, in a process of its own.

python contenders.py job.json      prints what it measured as one line of JSON
"""

import json
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

RATE = 1e-3
IGNORED = -100
Row = dict[str, Any]


@dataclass
class Meter:
    """Wall and CPU time at the end of every step, and the step's loss per scored token."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def stamp(self) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())


class Fettle:
    """The loop of `fettle.tuning`, without validation."""

    def __init__(self, job: dict[str, Any]) -> None:
        from fettle.adapters.files import load_adapter
        from fettle.data.packing import EncodedRows
        from fettle.data.template import Encoded
        from fettle.tuning.methods import trainee_for
        from fettle.types.tuning import TuningSpec

        settings = {
            "dtype": job["dtype"],
            "batch_size": job["batch_size"],
            "log_interval": 1,
            "learning_rate": RATE,
        }
        self.spec = TuningSpec.from_settings(settings, base="random", method=job["method"], name="bench")
        self.trainee = trainee_for(self.spec, Path(job["base"]), getattr(torch, job["dtype"]))
        self.learner = self.trainee.learner(self.spec.hyperparameters)
        self.learner.assign(load_adapter(Path(job["adapter"])).named_parameters())
        self.rows = EncodedRows(
            Encoded(row["tokens"], [i >= row["num_prompt"] for i in range(len(row["tokens"]))]) for row in job["rows"]
        )

    @torch.no_grad()
    def loss(self, num_rows: int) -> float:
        """Per scored token, of the first rows, without dropout."""
        self.learner.train_mode(False)
        loss = self.learner.loss(self.rows.pack(range(num_rows)))
        return float(loss.terms) / loss.num_tokens

    def train(self, meter: Meter) -> None:
        """One epoch, the rows in their order."""
        from fettle.tuning.checkpoint import Checkpoints
        from fettle.tuning.loop import Run

        def emit(event: Any) -> None:
            if event.type == "step":
                meter.losses.append(event.loss)
                meter.stamp()

        places, size = list(range(len(self.rows))), self.spec.hyperparameters.batch_size
        with tempfile.TemporaryDirectory() as folder:
            Run(
                learner=self.learner,
                rows=self.rows,
                plan=lambda _: [places[start : start + size] for start in range(0, len(places), size)],
                validation=None,
                settings=self.spec.hyperparameters.model_copy(update={"epochs": 1}),
                schedule=lambda _step, _total: 1.0,
                checkpoints=Checkpoints(Path(folder)),
                emit=emit,
            ).run()


class Trainer:
    """`transformers`' Trainer with a `peft` model: padded batches, completion-only labels, its own defaults."""

    sampling = "sequential"

    def __init__(self, job: dict[str, Any]) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        self.job = job
        base = AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.float32)
        self.model = PeftModel.from_pretrained(base, job["adapter"], is_trainable=True)
        self.rows = [
            {"input_ids": row["tokens"], "labels": [IGNORED] * n + row["tokens"][n:]}
            for row in job["rows"]
            for n in [row["num_prompt"]]
        ]

    @torch.no_grad()
    def loss(self, num_rows: int) -> float:
        """Per scored token, of the first rows, without dropout."""
        is_bf16 = self.job["dtype"] == "bfloat16"
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
            return float(self.model.eval()(**_padded(self.rows[:num_rows])).loss)

    def train(self, meter: Meter) -> None:
        """One epoch."""
        from transformers import PrinterCallback, TrainerCallback, TrainingArguments
        from transformers import Trainer as HFTrainer

        class Stamps(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                meter.stamp()

            def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
                meter.losses += [logs["loss"]] if "loss" in logs else []

        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=self.job["batch_size"],
                learning_rate=RATE,
                lr_scheduler_type="constant",
                adam_beta2=0.99,
                bf16=self.job["dtype"] == "bfloat16",
                use_cpu=True,
                train_sampling_strategy=self.sampling,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            )
            trainer = HFTrainer(self.model, arguments, data_collator=_padded, train_dataset=self.rows)
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(Stamps())
            trainer.train()


class GroupedTrainer(Trainer):
    """The same with rows of like length batched together, which pads less."""

    sampling = "group_by_length"


CONTENDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "fettle": Fettle,
    "trainer": Trainer,
    "trainer-grouped": GroupedTrainer,
}


def _padded(rows: list[Row]) -> dict[str, torch.Tensor]:
    def pad(values: list[list[int]], fill: int) -> torch.Tensor:
        return pad_sequence([torch.tensor(value) for value in values], batch_first=True, padding_value=fill)

    tokens, labels = [row["input_ids"] for row in rows], [row["labels"] for row in rows]
    mask = pad([[1] * len(value) for value in tokens], 0)
    return {"input_ids": pad(tokens, 0), "labels": pad(labels, IGNORED), "attention_mask": mask}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Load, take the loss of the first batch, train, and say how it went."""
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    contender, meter = CONTENDERS[job["contender"]](job), Meter()
    loaded = _peak_mb()
    first = contender.loss(job["batch_size"])
    contender.train(meter)
    return {
        "first_loss": first,
        "losses": meter.losses,
        "step_seconds": _differences(meter.wall),
        "step_cpu_seconds": _differences(meter.cpu),
        "loaded_mb": loaded,
        "peak_mb": _peak_mb(),
    }


def _differences(stamps: list[float]) -> list[float]:
    """What each step but the first took."""
    return [after - before for before, after in pairwise(stamps)]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asked = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(measure(asked)))
