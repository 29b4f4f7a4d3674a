"""Train `pocket`: `python -m pocket.train --data DIR --out DIR`; killed at any moment, the same command goes on.

The recipe: Muon for the matrices of the layers, AdamW for embeddings and norms, one rate for both (Muon's updates are
scaled to AdamW's size), warm-up, a long plateau and a straight fall, bf16 arithmetic on float32 weights.
"""

import argparse
import json
import math
import shutil
from pathlib import Path

import numpy as np
import torch

from fettle.data.packing import Batch, EncodedRows
from fettle.models.decoder import Decoder
from fettle.models.loading import load_decoder
from fettle.models.weights import SINGLE, write_weights
from fettle.tuning.checkpoint import Checkpoints
from fettle.tuning.learner import Learner
from fettle.tuning.loop import Run
from fettle.tuning.objectives import Loss
from fettle.tuning.objectives.next_token import NextToken, next_token
from fettle.tuning.schedule import stable_then_decay
from fettle.types.decoder import decoder_config
from fettle.types.tuning import EarlyStopping, EvaluationEvent, Hyperparameters, StepEvent, TuningEvent
from pocket.rare import rare_tokens, set_apart

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 8192,
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "bos_token_id": None,
    "eos_token_id": 4,
    "pad_token_id": 0,
    "torch_dtype": "bfloat16",
}
SEED, RATE, ROWS_PER_STEP, WARMUP_STEPS, DECAY_FRACTION = 17, 4e-3, 96, 100, 0.3


def main() -> None:
    """Train or go on training, then write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that pocket.mixture has written")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and the model")
    parser.add_argument("--start", type=Path, help="model folder whose weights to begin from; default: random ones")
    parser.add_argument("--before", type=Path, nargs="*", default=[], help="data folders that the start was trained on")
    parser.add_argument("--rate", type=float, default=RATE, help="peak learning rate")
    parser.add_argument("--steps", type=int, required=True, help=f"optimizer steps of {ROWS_PER_STEP} rows")
    args = parser.parse_args()
    torch.set_num_threads(2)
    decoder = load_decoder(args.start).requires_grad_(True) if args.start else fresh_decoder()
    train(decoder, args.data, args.out, args.steps, args.rate)
    seen = [(rows_of(args.data, "train"), args.steps * ROWS_PER_STEP)]
    seen += [(rows := rows_of(folder, "train"), len(rows)) for folder in args.before]
    set_apart(decoder, rare_tokens(seen, decoder.config.vocab_size), SEED)
    write_model(decoder, args.out / "model")


def fresh_decoder() -> Decoder:
    """Random weights from the seed: normal with deviation 0.02, smaller where a layer writes to the residual stream."""
    torch.manual_seed(SEED)
    decoder = Decoder(decoder_config(CONFIG))
    for name, value in decoder.named_parameters():
        if value.ndim == 2:
            writes = name.endswith(("o_proj.weight", "down_proj.weight"))
            deviation = 0.02 / math.sqrt(2 * decoder.config.num_layers) if writes else 0.02
            torch.nn.init.normal_(value, std=deviation)
    return decoder


def optimizers(decoder: Decoder, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for all else."""
    matrices = [p for p in decoder.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in decoder.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate, weight_decay=0.0, betas=(0.9, 0.95), fused=True),
    ]


def train(decoder: Decoder, data: Path, out: Path, steps: int, rate: float) -> None:
    """Run the project's own loop over the mixture, in the order in which it was written."""

    def loss(batch: Batch) -> Loss:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return next_token(decoder, batch)

    settings = Hyperparameters(
        epochs=1,
        batch_size=ROWS_PER_STEP,
        evaluations_per_epoch=4,
        checkpoint_interval=20,
        early_stopping=EarlyStopping(patience=0),
        max_tokens_per_batch=4096,
        seed=SEED,
    )
    plan = [list(range(step * ROWS_PER_STEP, (step + 1) * ROWS_PER_STEP)) for step in range(steps)]
    Run(
        learner=Learner(dict(decoder.named_parameters()), loss, NextToken().counts, optimizers(decoder, rate)),
        rows=rows_of(data, "train"),
        plan=lambda _: plan,
        validation=both(rows_of(data, "valid_prose"), rows_of(data, "valid_tasks")),
        settings=settings,
        schedule=stable_then_decay(WARMUP_STEPS, DECAY_FRACTION),
        checkpoints=Checkpoints(out),
        emit=report(out / "events.jsonl"),
    ).run()


def rows_of(data: Path, name: str) -> EncodedRows:
    """A part of the mixture, memory-mapped."""
    tokens, scored = (np.load(data / f"{name}.{part}.npy", mmap_mode="r") for part in ("tokens", "scored"))
    return EncodedRows.of_arrays(tokens, scored, np.load(data / f"{name}.lengths.npy"))


def both(first: EncodedRows, second: EncodedRows) -> EncodedRows:
    """Two sets of rows as one."""
    return EncodedRows.of_arrays(
        np.concatenate([first.tokens, second.tokens]),
        np.concatenate([first.scored, second.scored]),
        np.concatenate([first.lengths, second.lengths]),
    )


def report(path: Path):  # type: ignore[no-untyped-def]
    """An event sink: every event to a file, a line for people."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def emit(event: TuningEvent) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(event.model_dump_json() + "\n")
        if isinstance(event, StepEvent):
            quality = f"loss {event.loss:.3f} accuracy {event.token_accuracy:.3f} norm {event.gradient_norm:.2f}"
            pace = f"{event.tokens_per_second:.0f} tokens/s {event.seconds_left / 60:.0f} min left"
            print(f"{event.step}/{event.total_steps} {quality} {pace}", flush=True)
        elif isinstance(event, EvaluationEvent):
            print(f"validation loss {event.validation.loss:.4f}", flush=True)

    return emit


def write_model(decoder: Decoder, folder: Path) -> None:
    """The model folder as it is shipped: bf16 weights, config, tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (Path(__file__).parent / "tokenizer").iterdir():
        shutil.copyfile(path, folder / path.name)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    write_weights(folder / SINGLE, {name: value.bfloat16() for name, value in decoder.named_parameters()})


if __name__ == "__main__":
    main()
