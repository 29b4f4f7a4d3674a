"""Let a run begin above the layers that it does not train, if what they make of its rows can be kept."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fettle.tuning.loop import Emit
from fettle.tuning.material import Material
from fettle.tuning.methods import Trainee, quantization_of
from fettle.tuning.trunk_cache import CachedRows, fill, missing
from fettle.tuning.trunk_store import Cut, TrunkStore, make_room
from fettle.types.tuning import MessageEvent, TuningPlan

_GIB, _MIB = 2**30, 2**20


class Learning(NamedTuple):
    """A run that could begin above a trunk: its rows, what it trains, its plan, and who is told."""

    material: Material
    trainee: Trainee
    plan: TuningPlan
    emit: Emit


@contextmanager
def above_trunk(material: Material, trainee: Trainee, plan: TuningPlan, emit: Emit) -> Iterator[Material]:
    """Inside, the same rows with the states that enter the first trained layer; unchanged where that gains nothing."""
    with above_common_trunk([Learning(material, trainee, plan, emit)]) as (above,):
        yield above


@contextmanager
def above_common_trunk(runs: Sequence[Learning]) -> Iterator[list[Material]]:
    """The same for runs on one model, all with states in front of the lowest layer that one of them trains, or none."""
    with ExitStack() as held:
        lowest = min((run.trainee for run in runs), key=lambda trainee: trainee.first_layer, default=None)
        tried = [_with_states(run, lowest.first_layer, held) for run in runs if lowest]
        kept = [found for found in tried if found]
        if lowest and len(kept) == len(runs):
            lowest.release_below()
            for run, (_, told) in zip(runs, kept, strict=True):
                run.emit(told)
            yield [material for material, _ in kept]
        else:
            yield [run.material for run in runs]


def _with_states(run: Learning, layer: int, held: ExitStack) -> tuple[Material, MessageEvent] | None:
    """The rows with their states, and what is to be told of it."""
    material, trainee, plan, emit = run
    limit = int(plan.spec.hyperparameters.trunk_cache_gib * _GIB)
    if not (layer and limit and plan.cache_path):
        return None
    decoder, folder = trainee.decoder, Path(plan.cache_path)
    width, quantization = decoder.config.hidden_size, quantization_of(plan.spec)
    cut = Cut(Path(plan.base_path), decoder.dtype, trainee.compute_dtype, layer, width, quantization)
    try:
        store = TrunkStore(folder, cut)
        held.callback(store.close)
        needed = sum(int(part.lengths[missing(part, store)].sum()) for part in material.parts) * cut.bytes_per_token
        if not make_room(folder, needed, limit):
            emit(_too_large(cut, needed, plan.spec.hyperparameters.trunk_cache_gib))
            return None
        for part in material.parts:
            fill(store, decoder, part)
    except OSError as error:
        emit(_message("warning", f"{_layers(cut)} are computed in every epoch, for {folder} cannot be used: {error}"))
        return None
    text = f"{_layers(cut)} are not trained and were computed once; {_sized(needed)} kept for all jobs"
    validation = CachedRows(material.validation, store) if material.validation else None
    return replace(material, train=CachedRows(material.train, store), validation=validation), _message("info", text)


def _too_large(cut: Cut, needed: int, limit: float) -> MessageEvent:
    text = (
        f"{_layers(cut)} are computed in every epoch: their outputs take {_sized(needed)} of trunk_cache_gib={limit:g}"
    )
    return _message("warning", text)


def _layers(cut: Cut) -> str:
    return f"layers 0 to {cut.layer - 1}" if cut.layer > 1 else "layer 0 and the embeddings"


def _sized(num_bytes: int) -> str:
    return f"{num_bytes / _GIB:.1f} GiB" if num_bytes >= _GIB else f"{num_bytes / _MIB:.1f} MiB"


def _message(level: str, text: str) -> MessageEvent:
    return MessageEvent.model_validate({"level": level, "text": text, "code": "trunk_cache"})
