"""`fettle chat`: a conversation with a model."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from fettle.cli.generate import write
from fettle.cli.installation import Installation
from fettle.cli.options import Json
from fettle.cli.output import console, print_json
from fettle.cli.sampling import Answer, MaxTokens, Seed, Stop, Temperature, TopK, TopP, answered, sampling_params
from fettle.cli.session import opened
from fettle.types.generation import GenerateRequest, Message, SamplingParams

app = typer.Typer()
HELP = "/new forgets the conversation, /exit (or the end of input) ends it, Ctrl-C stops an answer."


@app.command()
def chat(
    model: Annotated[str, typer.Argument(help="A custom model (NAME or NAME:VERSION) or a base model.")],
    system: Annotated[str | None, typer.Option(help="Instructions in front of the conversation.")] = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = 0.7,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    seed: Seed = None,
    stop: Stop = None,
    as_json: Json = False,
) -> None:
    """Talk with a model.

    With --json the messages are read from standard input, one a line, and the whole conversation is printed at the end.
    """
    sampling = sampling_params(
        max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k, seed=seed, stop=stop
    )
    first = [] if system is None else [Message(role="system", content=system)]
    with opened() as platform, asyncio.Runner() as runner:
        conversation = Conversation(platform, runner, model, sampling, first, is_quiet=as_json)
        try:
            conversation.begin()
            for line in _lines(is_quiet=as_json):
                conversation.say(line)
        finally:
            runner.run(platform.engines.stop())
    if as_json:
        print_json({"model": model, "messages": conversation.messages})


class Conversation:
    """What was said so far, and the model that says the rest."""

    def __init__(
        self,
        platform: Installation,
        runner: asyncio.Runner,
        model: str,
        sampling: SamplingParams,
        first: list[Message],
        *,
        is_quiet: bool,
    ) -> None:
        """A conversation that begins with the messages `first`."""
        self.messages = list(first)
        self._platform, self._runner, self._model, self._sampling = platform, runner, model, sampling
        self._first, self._is_quiet = first, is_quiet

    def begin(self) -> None:
        """Find the model and say how to talk with it."""
        self._platform.engines.find(self._model)
        if not self._is_quiet:
            console().print(f"[dim]{self._model}. {HELP}[/]")

    def say(self, line: str) -> None:
        """Take one line of the user's: a command or a message, which is answered."""
        if line == "/new":
            self.messages = list(self._first)
            return
        asked = [*self.messages, Message(role="user", content=line)]
        try:
            answer = self._runner.run(self._answer(asked))
        except KeyboardInterrupt:
            write("\n")
            return
        self.messages = [*asked, Message(role="assistant", content=answer.text)]

    async def _answer(self, messages: list[Message]) -> Answer:
        request = GenerateRequest(model=self._model, messages=tuple(messages), sampling=self._sampling)
        answer = await answered(self._platform, request, (lambda _: None) if self._is_quiet else write)
        if not self._is_quiet:
            write("\n")
        return answer


def _lines(*, is_quiet: bool) -> Iterator[str]:
    while True:
        line = _read(is_quiet=is_quiet)
        if line is None or line == "/exit":
            return
        if line:
            yield line


def _read(*, is_quiet: bool) -> str | None:
    """The next line, None at the end of input."""
    if sys.stdin.isatty() and not is_quiet:
        try:
            return input("> ").strip()
        except EOFError:
            write("\n")
            return None
    line = sys.stdin.readline()
    return line.strip() if line else None
