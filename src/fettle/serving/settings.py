"""How much memory and how large a batch an engine may use."""

from pydantic import Field, model_validator

from fettle.types.engine import EngineOptions


class EngineSettings(EngineOptions):
    """Bounds of one engine."""

    block_size: int = Field(default=16, ge=1, le=1024, description="tokens per block of the key/value cache")
    num_blocks: int | None = Field(default=None, ge=1, description="blocks of the cache; None: what cache_bytes holds")
    max_batch_tokens: int = Field(default=512, ge=1, description="tokens computed in one step")
    max_sequences: int = Field(default=64, ge=1, description="sequences that run at once; others wait")

    @model_validator(mode="after")
    def _every_running_sequence_gets_a_token(self) -> "EngineSettings":
        if self.max_sequences > self.max_batch_tokens:
            raise ValueError(f"max_sequences {self.max_sequences} is above max_batch_tokens {self.max_batch_tokens}")
        return self
