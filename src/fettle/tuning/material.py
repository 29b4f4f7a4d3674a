"""What a run learns from and is measured on."""

from dataclasses import dataclass

from fettle.data.packing import Rows
from fettle.types.resources import PromptFormat


@dataclass(frozen=True)
class Material:
    """The rows of a run, as tokens."""

    train: Rows
    validation: Rows | None
    prompt_format: PromptFormat

    @property
    def parts(self) -> list[Rows]:
        """All rows."""
        return [self.train, *([self.validation] if self.validation else [])]
