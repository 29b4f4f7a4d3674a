"""Let a run begin above the layers that it does not train, if what they make of its rows can be kept."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from fettle.tuning.loop import Emit
from fettle.tuning.material import Material
from fettle.tuning.methods import Trainee, quantization_of
from fettle.tuning.trunk_cache import CachedRows, fill, missing
from fettle.tuning.trunk_store import Cut, TrunkStore, make_room
from fettle.types.tuning import MessageEvent, TuningPlan

_GIB, _MIB = 2**30, 2**20


@contextmanager
def above_trunk(material: Material, trainee: Trainee, plan: TuningPlan, emit: Emit) -> Iterator[Material]:
    """Inside, the same rows with the states that enter the first trained layer; unchanged where that gains nothing."""
    with ExitStack() as held:
        yield _with_states(material, trainee, plan, emit, held)


def _with_states(material: Material, trainee: Trainee, plan: TuningPlan, emit: Emit, held: ExitStack) -> Material:
    limit = int(plan.spec.hyperparameters.trunk_cache_gib * _GIB)
    if not (trainee.first_layer and limit and plan.cache_path):
        return material
    decoder, folder = trainee.decoder, Path(plan.cache_path)
    width, quantization = decoder.config.hidden_size, quantization_of(plan.spec)
    cut = Cut(Path(plan.base_path), decoder.dtype, trainee.compute_dtype, trainee.first_layer, width, quantization)
    try:
        store = TrunkStore(folder, cut)
        held.callback(store.close)
        needed = sum(int(part.lengths[missing(part, store)].sum()) for part in material.parts) * cut.bytes_per_token
        if not make_room(folder, needed, limit):
            emit(_too_large(cut, needed, plan.spec.hyperparameters.trunk_cache_gib))
            return material
        for part in material.parts:
            fill(store, decoder, part)
    except OSError as error:
        emit(_message("warning", f"{_layers(cut)} are computed in every epoch, for {folder} cannot be used: {error}"))
        return material
    trainee.release_below()
    emit(_message("info", f"{_layers(cut)} are not trained and were computed once; {_sized(needed)} kept for all jobs"))
    validation = CachedRows(material.validation, store) if material.validation else None
    return replace(material, train=CachedRows(material.train, store), validation=validation)


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
