"""Who is asked what: requests as the spec has them drawn, the same ones for the same seed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from fettle.data.faults import Faults
from fettle.data.files import Fault, scan_rows
from fettle.data.messages import json_name
from fettle.errors import InvalidRows
from fettle.loadtest.distributions import length_draw, place_draw
from fettle.loadtest.spec import LoadSpec

_EVERYDAY = """
time year people way day man thing woman life child world school state family student group country problem hand
part place case week company system program question work night point home water room mother area money story fact
month lot right study book eye job word business issue side kind head house service friend father power hour game
line end member law car city name team minute idea body back parent face level office door health person art war
history party result change morning reason research girl guy moment teacher force education
"""
#: Words of made-up prompts; each is about one token for most models.
WORDS = _EVERYDAY.split()
FIELDS = ("prompt", "messages", "max_tokens")


class Prompt(NamedTuple):
    """What is asked: a conversation, and the most tokens of its answer if the file says so."""

    messages: list[dict[str, Any]]
    max_tokens: int | None = None


class Ask(NamedTuple):
    """One request: whom, and its body."""

    model: str
    body: dict[str, Any]


def workload(spec: LoadSpec, prompts: Sequence[Prompt], *, part: int) -> Iterator[Ask]:
    """Requests without end.

    Args:
        prompts: those of the spec's file, asked in turn; none when they are made up.
        part: which part of the test. Every part asks the same models at the same lengths, but with other words, so
            that what the server keeps of one part's prompts does not help in the next.
    """
    shape, words = Random(f"{spec.seed}"), Random(f"{spec.seed} {part}")
    model, prompt_length = place_draw(spec.popularity, len(spec.models)), length_draw(spec.prompt_length)
    output_length, number = length_draw(spec.output_length), 0
    while True:
        name, num_words, num_tokens = spec.models[model(shape)], prompt_length(shape), output_length(shape)
        prompt = prompts[number % len(prompts)] if prompts else made_up(num_words, words)
        yield Ask(name, _body(spec, name, prompt, num_tokens))
        number += 1


def made_up(num_words: int, random: Random) -> Prompt:
    """A prompt of so many words."""
    return Prompt([{"role": "user", "content": " ".join(random.choices(WORDS, k=num_words))}])


def _body(spec: LoadSpec, model: str, prompt: Prompt, num_tokens: int) -> dict[str, Any]:
    body = {"model": model, "messages": prompt.messages, "max_tokens": prompt.max_tokens or num_tokens}
    body["temperature"] = 0
    if spec.ignores_eos:
        body["ignore_eos"] = True
    if spec.streams:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a JSONL file, whose rows have `prompt` or `messages`, and may have `max_tokens`.

    Raises:
        InvalidRows: rows cannot be used; all of them are named.
        InvalidInput, NotFound, StorageFailed: the file cannot be read.
    """
    faults, prompts, num_rows = Faults(), list[Prompt](), 0
    for row in scan_rows(path):
        num_rows += 1
        found = [row] if isinstance(row, Fault) else [Fault(row.line, text) for text in row_faults(row.value)]
        if found:
            faults.add(found)
        elif not isinstance(row, Fault):
            prompts.append(_prompt(row.value))
    if faults.count:
        told = f"{faults.num_rows:,} of {num_rows:,} rows in {path} cannot be used:"
        raise InvalidRows(told, faults=[str(fault) for fault in faults.kept[:20]], hint=_HINT)
    return prompts


_HINT = 'For example: {"prompt": "How far is it?", "max_tokens": 32}'


def row_faults(row: Any) -> list[str]:
    """What is wrong with a row of a file of prompts."""
    if not isinstance(row, dict):
        return [f"is a JSON {json_name(row)}; expected an object"]
    faults = [f"unknown field `{name}`; expected {', '.join(FIELDS)}" for name in row if name not in FIELDS]
    if ("prompt" in row) == ("messages" in row):
        faults.append("expected either `prompt` or `messages`")
    if "prompt" in row and not (isinstance(row["prompt"], str) and row["prompt"]):
        faults.append("`prompt` must be a text with something in it")
    if "messages" in row and not _are_messages(row["messages"]):
        faults.append("`messages` must be a list of objects with a `role` and a `content`")
    if "max_tokens" in row and not (type(row["max_tokens"]) is int and row["max_tokens"] >= 1):
        faults.append("`max_tokens` must be a whole number of at least 1")
    return faults


def _are_messages(value: Any) -> bool:
    return (
        bool(value) and isinstance(value, list) and all(isinstance(one, dict) and one.keys() >= _HAS for one in value)
    )


_HAS = {"role", "content"}


def _prompt(row: dict[str, Any]) -> Prompt:
    messages = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
    return Prompt(messages, row.get("max_tokens"))
