"""From a grid of settings to the specs of as many tuning jobs."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from fettle.errors import InvalidInput
from fettle.types.tuning import TuningSpec

#: More than this is rather a slip than a wish.
MAX_RUNS = 256
_NUM_SEEDS = 2**32


def grid_specs(
    settings: Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
    *,
    seeds: int,
    base: str,
    method: str,
    name: str,
) -> list[TuningSpec]:
    """A spec for every combination of the grid's values, with every seed.

    Args:
        settings: what all have in common, named as for a single job.
        grid: the values of what differs.
        seeds: how many; they follow on the one in `settings`, or on the usual one.
        base: base model.
        method: what is trained.
        name: of the custom model.

    Raises:
        InvalidInput: the grid cannot be used, or a value is out of bounds or of the wrong type; all of it is named.
    """
    faults = dict.fromkeys(_faults(settings, grid, seeds))
    specs = [] if faults else list(_specs(settings, grid, faults, base=base, method=method, name=name))
    if faults:
        hint = "For example: --grid learning_rate=1e-3,4e-3 --grid rank=8,32 --seeds 3"
        raise InvalidInput("\n".join(faults), hint=hint, param="grid")
    return [_seeded(spec, number) for spec in specs for number in range(seeds)]


def _faults(settings: Mapping[str, Any], grid: Mapping[str, Sequence[Any]], seeds: int) -> Iterator[str]:
    yield from (f"'{key}' is in the grid and fixed too" for key in grid if key in settings)
    yield from (f"'{key}' has no values" for key, values in grid.items() if not values)
    yield from (f"'{key}' has a value twice" for key, values in grid.items() if len({*map(repr, values)}) < len(values))
    if seeds < 1:
        yield f"seeds is {seeds}: it should be at least 1"
    if seeds > 1 and "seed" in grid:
        yield "'seed' is in the grid, and several seeds are asked for: give one of the two"
    if (count := seeds * prod(map(len, grid.values()))) > MAX_RUNS:
        yield f"the grid has {count:,} runs: it should be at most {MAX_RUNS}"


def _specs(
    settings: Mapping[str, Any], grid: Mapping[str, Sequence[Any]], faults: dict[str, None], **about: str
) -> Iterator[TuningSpec]:
    """The spec of each point; what is wrong with one goes to `faults`."""
    for values in product(*grid.values()):
        try:
            yield TuningSpec.from_settings({**settings, **dict(zip(grid, values, strict=True))}, **about)
        except InvalidInput as error:
            faults.update(dict.fromkeys(error.message.splitlines()))


def _seeded(spec: TuningSpec, number: int) -> TuningSpec:
    settings = spec.hyperparameters
    seed = (settings.seed + number) % _NUM_SEEDS
    return spec.model_copy(update={"hyperparameters": settings.model_copy(update={"seed": seed})})
