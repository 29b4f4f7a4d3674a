"""What an engine worker is started with."""

from pydantic import Field

from fettle.types.record import Record


class EngineSpec(Record):
    """One base model (or one fully tuned model) to serve, and the socket to serve it on."""

    name: str = Field(description="of the model, for the log")
    model_path: str = Field(description="folder with config.json, safetensors and tokenizer files")
    link_fd: int = Field(ge=0, description="inherited file descriptor of the worker's end of the link")
    threads: int = Field(default=2, ge=1)
    dtype: str = Field(default="auto", pattern="^(auto|float32|bfloat16)$")
