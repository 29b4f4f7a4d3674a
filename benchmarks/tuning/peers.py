"""The same adapter in `transformers`' Trainer and in TRL's, as their users write it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from meter import RATE, WARMUP, Job, Meter
from peft import PeftModel
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback, TrainingArguments
from transformers import Trainer as HFTrainer

IGNORED = -100
Example = dict[str, Any]
Collate = Callable[[Sequence[Example]], dict[str, Any]]


class Trainer:
    """`Trainer` with a `peft` model: padded batches, labels on the completion only, its own defaults."""

    warmup = WARMUP

    def __init__(self, job: Job) -> None:
        self.job = job
        base = AutoModelForCausalLM.from_pretrained(job.base, dtype=torch.float32)
        self.model = PeftModel.from_pretrained(base, job.adapter, is_trainable=True)
        self.rows = [
            {"input_ids": row["tokens"], "labels": [IGNORED] * n + row["tokens"][n:]}
            for row in job.rows
            for n in [row["num_prompt"]]
        ]

    def train(self, meter: Meter) -> float:
        """Returns the loss of the first step's rows before it, without dropout."""
        first = self._loss()
        trainer = self.trainer()
        trainer.data_collator = counted = _Counted(trainer.data_collator)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_Stamps(meter, counted))
        meter.start()
        trainer.train()
        return first

    def trainer(self) -> Any:
        """Ready to train."""
        return HFTrainer(self.model, self.arguments(TrainingArguments), data_collator=_padded, train_dataset=self.rows)

    def arguments(self, of: Callable[..., Any], **more: Any) -> Any:
        """What must be equal for all contenders is set; all else is as it comes."""
        given = {
            "output_dir": self.job.folder,
            "num_train_epochs": 1,
            "per_device_train_batch_size": self.job.batch_size,
            "learning_rate": RATE,
            "lr_scheduler_type": "constant",
            "adam_beta2": 0.99,
            "bf16": self.job.dtype == "bfloat16",
            "use_cpu": True,
            "train_sampling_strategy": "sequential",
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
        }
        return of(**given | more)

    @torch.no_grad()
    def _loss(self) -> float:
        is_bf16 = self.job.dtype == "bfloat16"
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
            return float(self.model.eval()(**_padded(self.rows[: self.job.batch_size])).loss)


class TRL(Trainer):
    """`SFTTrainer` with packing: rows of about 1,024 tokens, as many as hold a step's tokens."""

    LENGTH = 1024

    def trainer(self) -> Any:
        """Ready to train."""
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        tokens = [row["tokens"] for row in self.job.rows]
        masks = [[int(i >= row["num_prompt"]) for i in range(len(row["tokens"]))] for row in self.job.rows]
        step = sum(map(len, tokens)) * self.job.batch_size / len(tokens)
        arguments = self.arguments(
            SFTConfig,
            per_device_train_batch_size=max(round(step / self.LENGTH), 1),
            max_length=self.LENGTH,
            packing=True,
            completion_only_loss=True,
            # Its default saves memory for time, and time is what it is compared in.
            gradient_checkpointing=False,
        )
        return SFTTrainer(
            self.model,
            arguments,
            train_dataset=Dataset.from_dict({"input_ids": tokens, "completion_mask": masks}),
            processing_class=AutoTokenizer.from_pretrained(self.job.base),
        )


class _Counted:
    """A collator that keeps how many real tokens each batch has; batches are made a step ahead."""

    def __init__(self, collate: Collate) -> None:
        self._collate, self.tokens = collate, list[int]()

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        self.tokens.append(sum(len(example["input_ids"]) for example in examples))
        return self._collate(examples)


class _Stamps(TrainerCallback):
    def __init__(self, meter: Meter, counted: _Counted) -> None:
        self._meter, self._counted = meter, counted

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._meter.stamp(self._counted.tokens[len(self._meter.steps)])

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        self._meter.losses += [logs["loss"]] if "loss" in logs else []


def _padded(rows: Sequence[Example]) -> dict[str, torch.Tensor]:
    def pad(values: list[list[int]], fill: int) -> torch.Tensor:
        return pad_sequence([torch.tensor(value) for value in values], batch_first=True, padding_value=fill)

    tokens, labels = [row["input_ids"] for row in rows], [row["labels"] for row in rows]
    mask = pad([[1] * len(value) for value in tokens], 0)
    return {"input_ids": pad(tokens, 0), "labels": pad(labels, IGNORED), "attention_mask": mask}
