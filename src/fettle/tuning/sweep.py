"""From plans on one base to the files of as many custom models, in one process that has the base in memory once."""

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from fettle.adapters.adapter import fresh
from fettle.adapters.inject import choose, sites_of
from fettle.adapters.kinds.base import SiteConfig
from fettle.adapters.methods import METHODS, Method
from fettle.errors import FettleError, InvalidInput
from fettle.models.dtypes import dtype_for
from fettle.tuning.guards import check_trained
from fettle.tuning.joint import Joint, Member
from fettle.tuning.loop import Emit
from fettle.tuning.material import Material
from fettle.tuning.methods import AdapterTrainee, quantization_of, trainee_for
from fettle.tuning.trunk import Learning, above_common_trunk
from fettle.tuning.tune import load_material, result_of, run_over, write_output
from fettle.types.tuning import Hyperparameters, TuningEvent, TuningPlan, TuningResult

T = TypeVar("T")
#: Adapters that are trained in step: a batch is full long before, and each takes memory for its optimizer.
MAX_TOGETHER = 16
#: Told what the run with this number says; and how it ended.
Tell = Callable[[int, TuningEvent], object]
End = Callable[[int, TuningResult | FettleError], object]


def tune_jointly(plans: Sequence[TuningPlan], tell: Tell, end: End) -> None:
    """Train what the plans say, those in step that see the base in the same way; each goes on from its checkpoint.

    What ends one of them early is told, and the others go on.

    Args:
        plans: on one base; of methods that train an adapter at sites to predict the next token.
        tell: called with every event, in order, and the place of its plan.
        end: called with the place of each plan that is done, and its result or the error that ended it.
    """
    groups: dict[Hashable, dict[int, TuningPlan]] = defaultdict(dict)
    for number, plan in enumerate(plans):
        groups[plan.base_path, plan.spec.hyperparameters.dtype, quantization_of(plan.spec)][number] = plan
    for group in groups.values():
        for part in _parts(group):
            _Together(part, tell, end).run()


def _parts(group: Mapping[int, TuningPlan]) -> Iterator[dict[int, TuningPlan]]:
    items = list(group.items())
    return (dict(items[start : start + MAX_TOGETHER]) for start in range(0, len(items), MAX_TOGETHER))


class Beside(AdapterTrainee):
    """One more adapter, in a slot of its own, on the model of another trainee."""

    def __init__(self, other: AdapterTrainee, method: Method, config: SiteConfig, settings: Hyperparameters) -> None:
        self.objective, self.compute_dtype = other.objective, other.compute_dtype
        self.decoder, self.bank = other.decoder, other.bank
        layers = settings.layers_in(settings.epochs - 1, self.decoder.config.num_layers)
        sites = choose(sites_of(self.decoder), config.target_modules, lambda n: n in layers)
        assert method.kind is not None, "checked before"
        self.adapter = fresh(method.kind, config, sites, seed=settings.seed)
        self.slot = self.bank.add(self.adapter)


@dataclass
class _Together:
    """Plans whose runs go on in step."""

    plans: Mapping[int, TuningPlan]
    tell: Tell
    end: End
    materials: dict[int, Material] = field(default_factory=dict)
    trainees: dict[int, AdapterTrainee] = field(default_factory=dict)
    model: AdapterTrainee | None = None

    def run(self) -> None:
        """Train them all."""
        self._started = time.monotonic()
        torch.set_num_threads(max(plan.threads for plan in self.plans.values()))
        begun = {number: found for number in self.plans if (found := self._tried(self._begun, number))}
        with above_common_trunk(list(begun.values())) as above:
            self.materials.update(zip(begun, above, strict=True))
            members = [member for number in begun if (member := self._tried(self._member, number))]
            max_tokens = min(plan.spec.hyperparameters.max_tokens_per_batch for plan in self.plans.values())
            Joint(members, max_tokens, self._ended).run()

    def _tried(self, make: Callable[[int], T], number: int) -> T | None:
        """What is made for a run; None if it has ended with an error, and its slot is free."""
        try:
            return make(number)
        except FettleError as error:
            if trainee := self.trainees.get(number):
                trainee.bank.remove(trainee.slot)
            self.end(number, error)
            return None

    def _begun(self, number: int) -> Learning:
        plan, emit = self.plans[number], self._emit(number)
        self.trainees[number] = trainee = self._trainee(plan)
        return Learning(_compared(plan, trainee, emit), trainee, plan, emit)

    def _member(self, number: int) -> Member:
        plan, trainee = self.plans[number], self.trainees[number]
        settings = METHODS[plan.spec.method].completed(plan.spec.hyperparameters)
        learner = trainee.learner(settings)
        check_trained(learner, trainee.decoder)
        run = run_over(self.materials[number], learner, settings, plan, self._emit(number))
        return Member(number, run, trainee)

    def _emit(self, number: int) -> Emit:
        def emit(event: TuningEvent) -> None:
            self.tell(number, event)

        return emit

    def _trainee(self, plan: TuningPlan) -> AdapterTrainee:
        """The plan's adapter, on the model that is in memory."""
        spec, method = plan.spec, METHODS[plan.spec.method]
        if self.model is None:
            trainee = trainee_for(spec, Path(plan.base_path), dtype_for(spec.hyperparameters.dtype))
            assert isinstance(trainee, AdapterTrainee), "other methods are refused before"
            self.model = trainee
            return trainee
        config = method.adapter_config(spec.adapter)
        assert isinstance(config, SiteConfig), "other kinds are refused before"
        return Beside(self.model, method, config, method.completed(spec.hyperparameters))

    def _ended(self, member: Member, error: FettleError | None) -> None:
        self.end(member.number, error or self._written(member))

    def _written(self, member: Member) -> TuningResult | FettleError:
        plan, trainee = self.plans[member.number], member.trainee
        prompt_format = self.materials[member.number].prompt_format
        try:
            write_output(Path(plan.output_path), trainee, Path(plan.base_path), plan.spec.base, prompt_format)
        except FettleError as error:
            return error
        trained = sum(value.numel() for value in trainee.parameters.values())
        total = trainee.decoder.config.num_parameters + trained
        seconds = time.monotonic() - self._started
        return result_of(member.run, member.run.progress, trained=trained, total=total, seconds=seconds)


def _compared(plan: TuningPlan, trainee: AdapterTrainee, emit: Emit) -> Material:
    """The plan's rows, of which some are held out."""
    material = load_material(plan, trainee.objective, emit)
    if material.validation is None:
        raise InvalidInput(
            f"none of the rows of {plan.train_path} is held out, so this run cannot be compared with others",
            hint="Give --validation FILE, more rows, or a higher validation_fraction.",
            param="validation",
        )
    return material
