"""The installation's settings; the only reader of the environment."""

import os
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fettle.errors import InvalidInput, StorageFailed


class Settings(BaseModel):
    """What an installation is set to; each field is also an environment variable FETTLE_<FIELD>."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    PREFIX: ClassVar[str] = "FETTLE_"

    home: Path = Field(default=Path("~/.fettle"), description="folder for the database, artifacts and logs")
    api_key: str = Field(default="", description="key that clients must send; made at first start when empty")
    url: str = Field(
        default="", description="server that carries out commands, e.g. http://127.0.0.1:8000; empty: this machine"
    )
    host: str = Field(default="127.0.0.1", description="address that the server listens on")
    port: int = Field(default=8000, ge=0, le=65535, description="port that the server listens on; 0 takes a free one")
    tls_cert: Path | None = Field(
        default=None, description="PEM file of the server's certificate (and its chain): https"
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="what the server's log tells; info is a line per request"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="the log's lines: for people, or JSON")
    otlp_url: str = Field(default="", description="OpenTelemetry collector that requests' spans are sent to, over HTTP")
    threads: int = Field(default=2, ge=1, le=1024, description="CPU threads per worker process")
    max_tuning_jobs: int = Field(default=1, ge=1, le=64, description="tuning jobs that a server runs at once")
    num_processes: int = Field(
        default=0, ge=0, le=64, description="processes that share a tuning job's rows and CPU threads; 0 chooses"
    )
    strategy: Literal["ddp", "zero2", "fsdp"] = Field(
        default="ddp",
        description="what each of these processes has of weights that are trained: all (ddp), a share (fsdp: ZeRO-3), "
        "or a share except while a batch is computed (zero2)",
    )
    database_url: str = Field(
        default="",
        repr=False,  # it may hold a password
        description="where the database is, e.g. postgresql://USER:PASSWORD@HOST/NAME; empty is a file in the home",
    )
    artifacts_url: str = Field(
        default="",
        repr=False,  # it may hold a password
        description="where artifacts are kept, e.g. s3://BUCKET/FOLDER or another fsspec URL; the home has copies then",
    )
    report_to: str = Field(default="", description="where jobs also show their metrics: tensorboard, mlflow, or both")
    dtype: str = Field(
        default="auto", pattern="^(auto|float32|bfloat16)$", description="number type that models are served in"
    )
    serving_weights: Literal["dtype", "int8", "int4"] = Field(
        default="dtype",
        description="how served weights are kept: in that number type, in 8 bits (less memory, less exact), "
        "or in 4 (least of both)",
    )
    serving_cache_bytes: int = Field(
        default=1 << 30, ge=1, description="memory of each engine for keys and values, at most"
    )
    serving_adapter_bytes: int = Field(
        default=512 << 20, ge=1, description="memory of each engine for adapters, at most; others are read again"
    )

    @property
    def database(self) -> Path | str:
        """The embedded database's file, or the URL of another."""
        return self.database_url or self.home / "fettle.db"

    @property
    def metric_sinks(self) -> list[str]:
        """The names in `report_to`."""
        return [name.strip() for name in self.report_to.split(",") if name.strip()]

    def make_home(self) -> Path:
        """Create the home folder if needed and check that it can be written.

        Raises:
            StorageFailed: it cannot be created or written.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            probe = self.home / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageFailed(
                f"the home folder {self.home} cannot be written: {reason}",
                hint="Give another one with FETTLE_HOME, or its owner the right to write.",
                param="home",
            ) from error
        return self.home


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; `overrides` (None means not given) win.

    Raises:
        InvalidInput: a value is out of bounds; all of them are named.
    """
    names = Settings.model_fields
    found = {name: os.environ[key] for name in names if os.environ.get(key := f"{Settings.PREFIX}{name.upper()}")}
    found |= {name: value for name, value in overrides.items() if value is not None}  # type: ignore[misc]
    try:
        settings = Settings.model_validate(found)
    except ValidationError as error:
        faults = [f"{Settings.PREFIX}{str(e['loc'][0]).upper()}={e['input']!r}: {e['msg']}" for e in error.errors()]
        raise InvalidInput("; ".join(faults), param=str(error.errors()[0]["loc"][0])) from error
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})


def api_key_from(variable: str) -> str:
    """The key to another server, from the environment variable that holds it.

    Raises:
        InvalidInput: it is not set, or what it holds cannot be a key.
    """
    key = os.environ.get(variable, "")
    if not key:
        raise InvalidInput(f"the environment variable {variable} holds no API key", param="api_key_env")
    if not (key.isascii() and key.isprintable()):
        raise InvalidInput(f"what the environment variable {variable} holds is no API key", param="api_key_env")
    return key
