"""What a check of a data file is asked, and what it found."""

from typing import Literal

from pydantic import Field

from fettle.types.record import Record


class CheckPlan(Record):
    """Everything resolved to a path: which files, for which base model."""

    path: str
    validation_path: str | None = None
    base_path: str | None = Field(default=None, description="folder of the tokenizer; None counts no tokens")
    context: int | None = Field(default=None, ge=1, description="tokens that the base model reads at most")


class Lines(Record):
    """Some lines of a file: how many, and the numbers of the first ones."""

    count: int = 0
    lines: tuple[int, ...] = ()


class TokenLengths(Record):
    """Tokens per row, prompt and answer together."""

    shortest: int
    mean: float
    median: int
    p95: int
    longest: int
    total: int
    learned: int = Field(description="tokens of answers, the ones that are predicted with loss")


class DataReport(Record):
    """What is in a file of examples and what is wrong with it."""

    path: str
    rows: int = Field(description="lines that are not blank")
    examples: int = Field(description="rows that can be used")
    bad_rows: int
    num_faults: int
    faults: tuple[str, ...] = Field(default=(), description="the first 1,000, each with its line number")
    formats: dict[str, int] = Field(description="rows by form: prompt (with completion) or chat (messages)")
    with_choices: int = Field(default=0, description="examples that have answers beside the right one")
    prompt_format: Literal["chat", "prompt"] = Field(
        description="prompt as soon as one row is a prompt with completion"
    )
    ignored_fields: dict[str, int] = Field(description="fields that nothing takes notice of, and in how many rows")
    tokens: TokenLengths | None = Field(default=None, description="None when no base model was given")
    context: int | None = None
    too_long: Lines = Field(default=Lines(), description="rows over the context; tuning leaves them out")
    duplicates: Lines = Field(default=Lines(), description="rows that say the same as an earlier one")
    originals: tuple[int, ...] = Field(default=(), description="the earlier lines, one for each of duplicates.lines")
    conflicts: Lines = Field(default=Lines(), description="rows whose prompt has another answer elsewhere")
    leaked: Lines = Field(default=Lines(), description="rows of the validation file whose prompt is in this file too")
    content_hash: str = Field(
        description="SHA-256 of the examples in their order; layout and compression do not matter"
    )
    notices: tuple[str, ...] = ()
    validation: "DataReport | None" = None

    @property
    def is_good(self) -> bool:
        """Whether it can be tuned on."""
        parts = [self, *([self.validation] if self.validation else [])]
        return all(not part.bad_rows and part.examples > part.too_long.count for part in parts)
