"""The spec of a job, made complete: a method's defaults, and what stays as it was where tuning goes on with a model."""

from fettle.adapters.kinds import KINDS
from fettle.adapters.methods import METHODS, Method
from fettle.errors import InvalidInput, NotFound
from fettle.registry.base_models import BaseModels
from fettle.services.custom_models import CustomModels
from fettle.store.repository import Repository
from fettle.types.resources import CustomModel, TuningJob
from fettle.types.tuning import Hyperparameters, TuningSpec

_LAYERS = ("first_layer", "last_layer", "top_fraction")


def with_defaults(spec: TuningSpec, method: Method | None = None) -> TuningSpec:
    """The spec with the values that the method takes where none is given; `method` where its name means several."""
    method, given = method or METHODS[spec.method], spec.hyperparameters
    config = method.adapter_config(spec.adapter)
    adapter = config.model_dump(mode="json") if config else {}
    return spec.model_copy(update={"adapter": adapter, "hyperparameters": method.completed(given)})


def continued(
    spec: TuningSpec, base_models: BaseModels, custom_models: CustomModels, repository: Repository
) -> TuningSpec:
    """The spec as it is or, if it names a custom model as its base, on that model's base with what it continues.

    Settings of the adapter and the layers that the spec leaves out are those of the earlier job.

    Raises:
        InvalidInput: the custom model is no adapter that the method trains.
        NotFound: what the spec says that it continues is not there.
    """
    named = custom_models.get(spec.continues) if spec.continues else None
    earlier = named or _custom(spec.base, base_models, custom_models)
    if earlier is None:
        return spec
    _check(spec, earlier)
    before = repository.get(TuningJob, earlier.job_id).spec
    kept = {"adapter": before.adapter | spec.adapter, "hyperparameters": _layers(spec, before)}
    return spec.model_copy(update={"base": earlier.base, "continues": earlier.full_name, **kept})


def _custom(name: str, base_models: BaseModels, custom_models: CustomModels) -> CustomModel | None:
    """The custom model of this name; None where it is a base model's, or nobody's, which is told later."""
    try:
        base_models.get(name)
    except NotFound:
        pass
    else:
        return None
    try:
        return custom_models.get(name)
    except NotFound:
        return None


def _check(spec: TuningSpec, earlier: CustomModel) -> None:
    if earlier.kind not in KINDS or earlier.labels:
        what = "a classifier" if earlier.labels else "no adapter"
        raise InvalidInput(
            f"{earlier.full_name} is {what}, and tuning goes on with adapters of models that write",
            hint="A model whose weights were all tuned can be exported and pulled as a base model.",
            param="base",
        )
    if spec.method in METHODS and METHODS[spec.method].kind != earlier.kind:
        raise InvalidInput(
            f"{earlier.full_name} is an adapter of kind {earlier.kind}, which method {spec.method!r} does not train",
            hint=f"Use the method that made it: {earlier.method}.",
            param="method",
        )


def _layers(spec: TuningSpec, before: TuningSpec) -> Hyperparameters:
    given, settings = spec.hyperparameters, before.hyperparameters
    return given.model_copy(update={} if given.names_layers else {name: getattr(settings, name) for name in _LAYERS})
