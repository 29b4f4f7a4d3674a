"""What must be true before a sentence encoder is tuned to classify."""

from collections.abc import Callable
from pathlib import Path

from fettle.adapters.classifiers import CLASSIFIERS
from fettle.data.check import check_file, raise_if_bad
from fettle.data.labels import check_labels
from fettle.errors import NotFound
from fettle.registry.base_models import BaseModels
from fettle.types.encoder import ENCODER_FAMILIES
from fettle.types.tuning import TuningSpec


def is_on_encoder(spec: TuningSpec, base_models: BaseModels) -> bool:
    """Whether a job tunes a sentence encoder; one on a base that does not exist does not."""
    try:
        return base_models.get(spec.base).family in ENCODER_FAMILIES
    except NotFound:
        return False


def classifier_checks(spec: TuningSpec, train: Path, validation: Path | None) -> tuple[Callable[[], object], ...]:
    """Each raises a FettleError: method and settings, layers, rows, classes."""
    return (
        lambda: CLASSIFIERS[spec.method].adapter_config(spec.adapter),
        lambda: CLASSIFIERS[spec.method].completed(spec.hyperparameters),
        lambda: raise_if_bad(check_file(train, validation_path=validation)),
        lambda: check_labels(train, validation),
    )
