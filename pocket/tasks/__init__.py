"""The tasks that the base model learns from: one file per theme, each a function that makes a random row."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pocket.prose import Passages
from pocket.tasks import (
    classification,
    conversion,
    copying,
    dialogue,
    editing,
    extraction,
    instructions,
    judgement,
    patterns,
    questions,
)
from pocket.tasks.rows import Row


@dataclass(frozen=True)
class Theme:
    """A maker of rows, and how often it is drawn."""

    row: Callable[[random.Random, Passages], Row]
    weight: float


THEMES: dict[str, Theme] = {
    "copying": Theme(copying.row, 22),
    "editing": Theme(editing.row, 8),
    "extraction": Theme(extraction.row, 34),
    "judgement": Theme(judgement.row, 6),
    "classification": Theme(classification.row, 11),
    "patterns": Theme(patterns.row, 10),
    "questions": Theme(questions.row, 10),
    "dialogue": Theme(dialogue.row, 7),
    "conversion": Theme(conversion.row, 11),
    "instructions": Theme(instructions.row, 8),
}
"""Every theme; weights are relative numbers of rows."""

WEIGHTS = {name: theme.weight for name, theme in THEMES.items()}


def any_row(rng: random.Random, source: Passages, weights: Mapping[str, float] = WEIGHTS) -> tuple[str, Row]:
    """A row of a random theme, with the theme's name."""
    name = rng.choices(list(weights), list(weights.values()))[0]
    return name, THEMES[name].row(rng, source)
