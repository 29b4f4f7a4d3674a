"""What must be true before a tuning job is recorded; every fault is told at once."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path

from fettle.adapters.classifiers import methods_of
from fettle.adapters.kinds import KINDS
from fettle.adapters.methods import METHODS
from fettle.data.check import check_file, raise_if_bad
from fettle.errors import Conflict, FettleError, InvalidInput
from fettle.registry.base_models import BaseModels, read_config
from fettle.services.classifier_checks import classifier_checks, is_on_encoder
from fettle.types.tuning import Hyperparameters, TuningSpec


def check_tuning(spec: TuningSpec, train: Path, validation: Path | None, base_models: BaseModels) -> None:
    """Let a tuning job through that can be run.

    Raises:
        FettleError: it cannot; the one fault, or an InvalidInput that names them all.
    """
    checks: tuple[Callable[[], object], ...] = (
        lambda: _check_base(spec, base_models),
        lambda: _check_name(spec, base_models),
        lambda: _check_method(spec, base_models),
        lambda: _check_layers(spec),
        lambda: _check_room(spec, base_models),
        lambda: _check_data(spec.method, train, validation),
    )
    if is_on_encoder(spec, base_models):
        checks = (*checks[:2], *classifier_checks(spec, train, validation))
    # Two checks may meet the same fault.
    faults = list({fault.message: fault for check in checks for fault in _faults(check)}.values())
    if len(faults) == 1:
        raise faults[0]
    if faults:
        hints = dict.fromkeys(fault.hint for fault in faults if fault.hint)
        raise InvalidInput("\n".join(fault.message for fault in faults), hint="\n".join(hints), param=faults[0].param)


def _faults(check: Callable[[], object]) -> Iterator[FettleError]:
    try:
        check()
    except FettleError as error:
        yield error


def _check_base(spec: TuningSpec, base_models: BaseModels) -> None:
    """The base exists and has the layers that are to be trained."""
    spec.hyperparameters.layers(read_config(Path(base_models.get(spec.base).path)).num_layers)


def _check_layers(spec: TuningSpec) -> None:
    """The method can train the layers that were chosen."""
    METHODS[spec.method].completed(spec.hyperparameters)


def _check_room(spec: TuningSpec, base_models: BaseModels) -> None:
    """The method leaves room for rows in the base's context."""
    base = base_models.get(spec.base)
    if not _unknown(spec):
        methods_of(base.family)[spec.method].room(spec.adapter, base.context)


def _check_name(spec: TuningSpec, base_models: BaseModels) -> None:
    """A name means one model."""
    if spec.name in {entry.name for entry in base_models.list()}:
        hint = "Give the custom model another name with --name."
        raise Conflict(f"{spec.name!r} is the name of a base model", hint=hint, param="name")


def _check_method(spec: TuningSpec, base_models: BaseModels) -> None:
    """The method exists, and knows the settings that were given."""
    families = {base.name: base.family for base in base_models.list()}
    method = methods_of(families.get(spec.base, ""))[spec.method]
    fields, unknown = _fields(spec), _unknown(spec)
    if unknown:
        told = "\n".join(
            _unknown_setting(name, spec.method, [*fields, *Hyperparameters.model_fields]) for name in unknown
        )
        hint = f"{spec.method} has {', '.join(fields) or 'none of its own'}; training has {_listed(Hyperparameters)}."
        raise InvalidInput(told, hint=hint, param=unknown[0])
    method.adapter_config(spec.adapter)


def _fields(spec: TuningSpec) -> list[str]:
    kind = METHODS[spec.method].kind
    return list(KINDS[kind].config.model_fields) if kind else []


def _unknown(spec: TuningSpec) -> list[str]:
    fields = _fields(spec)
    return [name for name in spec.adapter if name not in fields]


def _unknown_setting(name: str, method: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    meant = f". Did you mean {near[0]!r}?" if near else ""
    return f"method {method!r} has no setting {name!r}{meant}"


def _listed(record: type[Hyperparameters]) -> str:
    return ", ".join(record.model_fields)


def _check_data(method: str, train: Path, validation: Path | None) -> None:
    """Every row can be used."""
    report = check_file(train, validation_path=validation)
    raise_if_bad(report)
    if method not in METHODS or METHODS[method].objective != "preference":
        return
    for part in [report, *([report.validation] if report.validation else [])]:
        if part.with_choices < part.examples:
            raise InvalidInput(
                f"{part.examples - part.with_choices:,} of {part.examples:,} rows of {part.path} have one answer only; "
                f"{method} compares two",
                hint="Write them as `prompt`, `chosen` and `rejected`.",
                param="train",
            )
