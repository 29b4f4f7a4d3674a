"""`fettle generate`: one prompt, one answer."""

import asyncio
import sys
from typing import Annotated

import typer

from fettle.cli.installation import Installation
from fettle.cli.options import Json
from fettle.cli.output import print_json
from fettle.cli.sampling import Answer, MaxTokens, Seed, Stop, Temperature, TopK, TopP, answered, sampling_params
from fettle.cli.session import opened
from fettle.types.generation import GenerateRequest, Message

app = typer.Typer()


@app.command()
def generate(
    model: Annotated[str, typer.Argument(help="A custom model (NAME or NAME:VERSION) or a base model.")],
    text: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    system: Annotated[str | None, typer.Option(help="Instructions in front of the prompt.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text as it stands, not as a message.")] = False,
    max_tokens: MaxTokens = None,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    seed: Seed = None,
    stop: Stop = None,
    as_json: Json = False,
) -> None:
    """Answer one prompt."""
    sampling = sampling_params(
        max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k, seed=seed, stop=stop
    )
    prompt = sys.stdin.read() if text == "-" else text
    messages = () if system is None else (Message(role="system", content=system),)
    asked = {"text": prompt} if raw else {"messages": (*messages, Message(role="user", content=prompt))}
    request = GenerateRequest.checked({"model": model, "sampling": sampling, **asked})
    with opened() as platform:
        answer = asyncio.run(_answer(platform, request, streams=not as_json))
    if as_json:
        print_json({"model": model, **answer._asdict()})


async def _answer(platform: Installation, request: GenerateRequest, *, streams: bool) -> Answer:
    try:
        answer = await answered(platform, request, write if streams else _keep_quiet)
        if streams:
            write("\n")
        return answer
    finally:
        await platform.engines.stop()


def write(text: str) -> None:
    """Write to stdout at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _keep_quiet(_: str) -> None:
    """The answer is printed when it is whole."""
