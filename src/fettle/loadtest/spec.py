"""What a load test does: everything that is needed to do it again."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fettle.loadtest.distributions import length_draw, place_draw
from fettle.types.record import Record

DEFAULT_REQUESTS = 64
DEFAULT_CONCURRENCY = 8
MAX_CONCURRENCY = 65_536


def _address(url: str) -> str:
    """The URL without a slash at its end, if requests can be sent there."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected http://HOST:PORT/v1 or https://HOST/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("expected an address alone; a key is named with --api-key-env")
    return url.rstrip("/")


def _length(text: str) -> str:
    length_draw(text)
    return text


def _popularity(text: str) -> str:
    place_draw(text, 1)
    return text


def _parts(value: object) -> object:
    """'1,8' as its parts; what is no text as it is."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Length = Annotated[str, AfterValidator(_length)]


class LoadSpec(Record):
    """A load test of one server at one or several loads."""

    url: Annotated[str, AfterValidator(_address)] = Field(description="what OpenAI's clients call base_url")
    models: tuple[str, ...] = Field(min_length=1, description="models that are asked, the most popular one first")
    popularity: Annotated[str, AfterValidator(_popularity)] = Field(
        default="uniform", description="how often each model is asked: uniform, or zipf:ALPHA"
    )
    concurrency: Annotated[tuple[Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)], ...], BeforeValidator(_parts)] = (
        Field(default=(), description="closed loop: as many clients, each of which asks again when it has its answer")
    )
    rate: Annotated[tuple[Annotated[float, Field(gt=0, le=100_000)], ...], BeforeValidator(_parts)] = Field(
        default=(), description="open loop: requests per second, at random times (Poisson)"
    )
    requests: int | None = Field(default=None, ge=1, le=10_000_000, description="requests at each load")
    duration_seconds: float | None = Field(
        default=None, gt=0, le=1e6, description="for how long requests are begun at each load"
    )
    prompt_length: Length = Field(default="fixed:128", description="words of a prompt, which are made up")
    output_length: Length = Field(default="fixed:64", description="most tokens of an answer")
    prompts: str | None = Field(default=None, description="JSONL file of prompts to ask instead")
    ignores_eos: bool = Field(default=False, description="ask for answers that do not end before they are that long")
    streams: bool = Field(default=True, description="take the answers as streams")
    warmup: int | None = Field(
        default=None, ge=0, le=1_000_000, description="requests in front that are not measured; None is one per model"
    )
    timeout_seconds: float = Field(default=600, gt=0, le=86_400, description="longest time that an answer may take")
    seed: int = Field(default=0, description="of everything that is drawn")
    slo_ttft_seconds: float | None = Field(default=None, gt=0, description="objective for the time to the first token")
    slo_itl_seconds: float | None = Field(
        default=None, gt=0, description="objective for the mean time per token after the first"
    )

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        """Refuse settings that would change nothing."""
        faults = []
        if not self.streams and (self.slo_ttft_seconds or self.slo_itl_seconds):
            faults.append("without streams no time to a token is known, so there can be no objective for it")
        if self.prompts and "prompt_length" in self.model_fields_set:
            faults.append("prompts from a file are as long as they are: give either the file or the prompt length")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def num_requests(self) -> int | None:
        """Requests at each load; None when only time ends it."""
        return DEFAULT_REQUESTS if self.requests is self.duration_seconds is None else self.requests

    @property
    def loads(self) -> list["Load"]:
        """All loads, in the order in which they are tried."""
        clients = self.concurrency or (() if self.rate else (DEFAULT_CONCURRENCY,))
        return [*(Load(concurrency=number) for number in clients), *(Load(rate=number) for number in self.rate)]


class Load(Record):
    """One load: a number of clients, or a rate."""

    concurrency: int | None = None
    rate: float | None = None

    def __str__(self) -> str:
        """For people: '8 clients', '2.5 per second'."""
        if self.rate is not None:
            return f"{self.rate:g} per second"
        return "1 client" if self.concurrency == 1 else f"{self.concurrency} clients"
