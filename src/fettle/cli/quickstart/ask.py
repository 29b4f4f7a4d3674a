"""Questions over HTTP with the official `openai` client: many models in one concurrent batch."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fettle.cli.quickstart.server import Address
from fettle.errors import InvalidInput

if TYPE_CHECKING:
    from openai import AsyncOpenAI

REQUEST_SECONDS = 600


class Question(NamedTuple):
    """A prompt for one of the served models."""

    model: str
    prompt: str


class Answers(NamedTuple):
    """The texts in the order of the questions, and what they took together."""

    texts: list[str]
    completion_tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens per second, all requests together."""
        return self.completion_tokens / self.seconds

    @property
    def seconds_per_token(self) -> float:
        """Wall time per completion token, all requests together."""
        return self.seconds / self.completion_tokens


def need_openai() -> None:
    """Say so at once when the client package is not installed.

    Raises:
        InvalidInput: it is not.
    """
    from importlib.util import find_spec

    if find_spec("openai") is None:
        raise InvalidInput(
            "the quickstart asks its questions with the `openai` package, which is not installed",
            hint="Install it: pip install 'fettle-ai[quickstart]'",
        )


def ask(server: Address, questions: Sequence[Question], *, max_tokens: int, **sampling: Any) -> Answers:
    """Ask all questions at once, greedily; `sampling` goes into the request bodies as it is."""
    return asyncio.run(_ask_all(server, questions, max_tokens, sampling))


def served_models(server: Address) -> list[str]:
    """The ids that `/v1/models` lists."""
    from openai import DefaultHttpxClient, OpenAI

    # trust_env: no proxy, as in the server's own health checks.
    direct = DefaultHttpxClient(trust_env=False)
    with OpenAI(base_url=server.url, api_key=server.api_key, http_client=direct) as client:
        return [model.id for model in client.models.list()]


async def _ask_all(
    server: Address, questions: Sequence[Question], max_tokens: int, sampling: dict[str, Any]
) -> Answers:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    async with AsyncOpenAI(
        base_url=server.url,
        api_key=server.api_key,
        http_client=DefaultAsyncHttpxClient(trust_env=False, timeout=REQUEST_SECONDS),
        timeout=REQUEST_SECONDS,
        max_retries=0,
    ) as client:
        start = time.perf_counter()
        replies = await asyncio.gather(*(_ask_one(client, one, max_tokens, sampling) for one in questions))
        seconds = time.perf_counter() - start
    return Answers([text for text, _ in replies], sum(tokens for _, tokens in replies), seconds)


async def _ask_one(
    client: "AsyncOpenAI", question: Question, max_tokens: int, sampling: dict[str, Any]
) -> tuple[str, int]:
    reply = await client.chat.completions.create(
        model=question.model,
        messages=[{"role": "user", "content": question.prompt}],
        max_tokens=max_tokens,
        temperature=0,
        extra_body=sampling or None,
    )
    usage = reply.usage
    return reply.choices[0].message.content or "", usage.completion_tokens if usage else 0
