"""Judgements beside extraction: one object with labels that are read from the wording and a span that is copied."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from pocket.prose import Passages
from pocket.tasks import names
from pocket.tasks.domains import REQUESTS, Intent
from pocket.tasks.entities import first_name
from pocket.tasks.requests import Request, random_request
from pocket.tasks.rows import Row, as_json, compose
from pocket.tasks.shots import show
from pocket.tasks.slots import SLOTS

_PHRASES: dict[str, dict[str, list[str]]] = {
    "mood": names.FEELINGS,
    "length of answer": names.WISHED_LENGTHS,
    "seen before": names.OFTEN,
    "speaks for": names.WHOM,
}
"""What can be judged, its labels, and the remarks that carry them; a label without remarks is the default."""

_KEYS = {
    "mood": ["mood", "feeling", "tone", "customer_mood", "emotion"],
    "length of answer": ["length", "answer_length", "detail", "style"],
    "seen before": ["frequency", "how_often", "repeat", "times"],
    "speaks for": ["on_behalf", "speaker", "for_whom", "party"],
    "topic": ["topic", "area", "domain", "desk", "about"],
}


@dataclass(frozen=True)
class _Judged:
    """A text, its labels by what is judged, and the span."""

    text: str
    labels: dict[str, str]
    span: str | None


@dataclass(frozen=True)
class _Form:
    """Which judgements an object has, under which keys and with which names for their labels."""

    topics: dict[str, list[Intent]]
    judged: list[str]
    slot: str
    keys: dict[str, str]
    codes: Callable[[str], str]

    def answer(self, found: _Judged) -> str:
        """The object for one text."""
        labels = {self.keys[name]: self.codes(found.labels[name]) for name in self.judged}
        return as_json({**labels, self.keys[self.slot]: found.span})


def row(rng: random.Random, source: Passages) -> Row:
    """A text to be judged by described labels, or by those that solved examples show."""
    form = _form(rng, source)
    if rng.random() < 0.6:
        found = _judged(rng, source, form)
        return compose(rng, _instruction(rng, form), found.text, form.answer(found))
    shown = [_judged(rng, source, form) for _ in range(rng.randint(4, 6))]
    known = {label for found in shown for label in found.labels.items()}
    asked = shown[0]
    while asked in shown or not known.issuperset(asked.labels.items()):
        asked = _judged(rng, source, form)
    return show(rng, [(found.text, form.answer(found)) for found in [*shown, asked]])


def _form(rng: random.Random, source: Passages) -> _Form:
    """One to three judgements, and a slot that some of the topics' requests have."""
    judged = rng.sample([*_PHRASES, "topic"], rng.randint(1, 3))
    every = sorted({intent.domain for intent in REQUESTS})
    domains = rng.sample(every, rng.randint(2, 3) if "topic" in judged else 1)
    topics = {domain: [intent for intent in REQUESTS if intent.domain == domain] for domain in domains}
    slot = rng.choice(list(random_request(rng, source, rng.choice(topics[domains[0]])).slots))
    keys = {name: rng.choice(_KEYS[name]) for name in judged}
    keys[slot] = next(key for key in (*SLOTS[slot].keys, "span") if key not in keys.values()).replace(" ", "_")
    codes: list[Callable[[str], str]] = [str, str, str.upper, str.title]
    return _Form(topics, judged, slot, keys, rng.choice(codes))


def _judged(rng: random.Random, source: Passages, form: _Form) -> _Judged:
    """A request of one of the topics with remarks around it."""
    topic = rng.choice(list(form.topics))
    request = random_request(rng, source, rng.choice(form.topics[topic]))
    labels, remarks = {"topic": topic}, []
    for name, choices in _PHRASES.items():
        if name in form.judged:
            labels[name] = rng.choice(list(choices))
            if choices[labels[name]]:
                remarks.append(rng.choice(choices[labels[name]]).format(first_name(rng, source)))
    return _Judged(_joined(rng, request, remarks), labels, request.slots.get(form.slot))


def _joined(rng: random.Random, request: Request, remarks: list[str]) -> str:
    """The request among the remarks, each part a sentence of its own."""
    parts = [request.text, *remarks]
    rng.shuffle(parts)
    if request.text.islower():
        return rng.choice([", ", ". ", " - "]).join(part.lower().rstrip(".") for part in parts)
    return " ".join(part if part[-1] in ".?!" else part + "." for part in parts)


def _instruction(rng: random.Random, form: _Form) -> str:
    """Every key with its labels, and the slot."""
    rules = []
    for name in form.judged:
        labels = [form.codes(label) for label in (form.topics if name == "topic" else _PHRASES[name])]
        rng.shuffle(labels)
        listed = rng.choice([", ", " | ", " or "]).join(labels)
        rules.append(
            rng.choice([f"{form.keys[name]} ({name}): {listed}", f"{form.keys[name]} = {name}, one of {listed}"])
        )
    rules.append(f"{form.keys[form.slot]}: {SLOTS[form.slot].about}, or null")
    head = rng.choice(
        ["Answer with one JSON object.", "Judge the message as JSON.", "Fill in a JSON form.", "Reply in JSON."]
    )
    return head + rng.choice(["\n", "\n- "]).join(["", *rules])
