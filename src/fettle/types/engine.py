"""What an engine worker is started with."""

from typing import Literal

from pydantic import Field

from fettle.types.record import Record

#: How linear layers' weights are kept where they are served: in the model's number type, or in 8 or 4 bits.
Weights = Literal["dtype", "int8", "int4"]


class EngineOptions(Record):
    """How an engine keeps its model, and how much memory it may take beside it."""

    dtype: str = Field(default="auto", pattern="^(auto|float32|bfloat16)$", description="number type of the arithmetic")
    weights: Weights = Field(default="dtype", description="linear layers' weights: in that type, or in fewer bits")
    cache_bytes: int = Field(default=1 << 30, ge=1, description="memory for keys and values, at most")
    adapter_bytes: int = Field(default=512 << 20, ge=1, description="memory for resident adapters")


class EngineSpec(Record):
    """One base model (or one fully tuned model) to serve, and the socket to serve it on."""

    name: str = Field(description="of the model, for the log")
    model_path: str = Field(description="folder with config.json, safetensors and tokenizer files")
    link_fd: int = Field(ge=0, description="inherited file descriptor of the worker's end of the link")
    threads: int = Field(default=2, ge=1)
    options: EngineOptions = EngineOptions()
