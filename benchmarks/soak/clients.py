"""Clients that ask any name anything, hang up when they like, and compare every answer with the truth."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
from home import QUESTIONS, Question, Truth
from names import Names

SHARE_OF_STREAMS, SHARE_OF_HANG_UPS = 0.6, 0.25
MAX_FAULTS = 100


class Refused(Exception):
    """The server told an error, as a status or in a stream."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.kind = status, code


@dataclass
class Findings:
    """What was seen: how often what ended how, and all that was not right."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, told: str) -> None:
        self.counts["faults"] += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(told)
        print(f"fault: {told}", flush=True)


class Client:
    """One who asks, one request after the other."""

    def __init__(
        self, http: httpx.AsyncClient, names: Names, truth: Truth, findings: Findings, *, deadline_seconds: float
    ) -> None:
        """One who is told of a request that takes longer than the deadline that it hangs."""
        self._http, self._names, self._truth, self._findings = http, names, truth, findings
        self._deadline_seconds, self._draw = deadline_seconds, random.Random()

    async def run(self, until: float, pause_seconds: float) -> None:
        """Ask until a moment, with pauses around so many seconds."""
        while time.monotonic() < until:
            await self._ask_one()
            await asyncio.sleep(self._draw.expovariate(1 / pause_seconds))

    async def _ask_one(self) -> None:
        name, question = self._draw.choice(self._names.all()), self._draw.choice(QUESTIONS)
        way = self._stream if self._draw.random() < SHARE_OF_STREAMS else self._whole
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await way(name, question, began)
        except TimeoutError:
            self._findings.fault(f"{name}: no answer to {question} in {self._deadline_seconds:.0f} s")
        except Refused as refused:
            self._judge(name, began, refused)
        except httpx.HTTPError as error:
            self._findings.fault(f"{name}: the connection failed: {error!r}")

    async def _whole(self, name: str, question: Question, began: float) -> None:
        patience = self._draw.uniform(0, 0.2) if self._draw.random() < SHARE_OF_HANG_UPS else None
        try:
            asking = self._http.post("/v1/chat/completions", json=_body(name, question))
            answer = await asyncio.wait_for(asking, patience)
        except TimeoutError:
            self._findings.counts["hung up"] += 1
            return
        if answer.status_code != 200:
            raise _refusal(answer.status_code, answer.json())
        self._compare(name, question, began, answer.json()["choices"][0]["message"]["content"], "whole")

    async def _stream(self, name: str, question: Question, began: float) -> None:
        most = self._draw.randrange(question.max_tokens) if self._draw.random() < SHARE_OF_HANG_UPS else None
        parts: list[str] = []
        body = _body(name, question) | {"stream": True}
        async with self._http.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                raise _refusal(answer.status_code, json.loads(await answer.aread()))
            async for part in _parts(answer):
                parts.append(part)
                if most is not None and len(parts) > most:
                    self._findings.counts["hung up"] += 1
                    return
        self._compare(name, question, began, "".join(parts), "streams")

    def _compare(self, name: str, question: Question, began: float, said: str, way: str) -> None:
        self._findings.counts[way] += 1
        meanings = self._names.meanings(name, began)
        if self._names.must_refuse(name, began):
            self._findings.fault(f"{name}: an answer, though the endpoint is off")
        elif said not in {self._truth[meaning][question] for meaning in meanings}:
            whose = [other for other, answers in self._truth.items() if answers[question] == said]
            told = f"that is what {whose} say" if whose else f"nobody says {said!r}"
            self._findings.fault(f"{name} (that is {sorted(meanings)}) to {question}: {told}")

    def _judge(self, name: str, began: float, refused: Refused) -> None:
        self._findings.counts[f"{refused.kind[0]} {refused.kind[1]}"] += 1
        if refused.kind not in self._names.may_refuse(name, began):
            self._findings.fault(f"{name}: {refused}")


def _body(name: str, question: Question) -> dict[str, object]:
    return {
        "model": name,
        "messages": [{"role": "user", "content": question.text}],
        "max_tokens": question.max_tokens,
        "temperature": 0,
        "ignore_eos": True,
    }


async def _parts(answer: httpx.Response) -> AsyncIterator[str]:
    """The pieces of text of a stream, which must come to its end.

    Raises:
        Refused: it ends with an error.
    """
    has_ended = False
    async for line in answer.aiter_lines():
        told = line.removeprefix("data: ")
        if told == "[DONE]":
            has_ended = True
        elif told:
            event = json.loads(told)
            if "error" in event:
                raise _refusal(503, event)
            for choice in event["choices"]:
                yield choice["delta"].get("content") or ""
    if not has_ended:
        raise Refused(200, "cut", "the stream ended without [DONE]")


def _refusal(status: int, body: dict[str, dict[str, str]]) -> Refused:
    return Refused(status, body["error"]["code"], body["error"]["message"])
