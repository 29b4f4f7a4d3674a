"""Losses: one file each, listed here."""

from collections.abc import Callable

from fettle.plugins import Table
from fettle.tuning.objectives.base import Loss, Objective, Tuned
from fettle.tuning.objectives.next_token import NextToken
from fettle.tuning.objectives.preference import Preference
from fettle.tuning.objectives.tfew import TFew
from fettle.types.tuning import Hyperparameters

OBJECTIVES: Table[Callable[[Hyperparameters], Objective]] = Table(
    "objective",
    "objectives",
    {
        "next_token": lambda _: NextToken(),
        "tfew": lambda settings: TFew(settings.tfew),
        "preference": lambda settings: Preference(settings.preference),
    },
)

__all__ = ["OBJECTIVES", "Loss", "Objective", "Tuned"]
