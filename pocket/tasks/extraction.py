"""Extraction: a request or a written fact becomes one JSON object whose slots are spans of it, copied as they are."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pocket.prose import Passages
from pocket.tasks.domains import RECORDS, REQUESTS, Intent
from pocket.tasks.entities import made_up
from pocket.tasks.requests import Request, random_request
from pocket.tasks.rows import Row, as_json, compose, exchange, layout, message
from pocket.tasks.shots import show
from pocket.tasks.slots import ALIKE, SLOTS

Case = Callable[[str], str]

_CASES: list[Case] = [
    lambda words: words.replace(" ", "_"),
    lambda words: words.replace(" ", "_"),
    lambda words: words.title().replace(" ", ""),
    lambda words: words[:1] + words.title().replace(" ", "")[1:],
    lambda words: words.replace(" ", "-"),
    lambda words: words,
    lambda words: words.title(),
    lambda words: words.replace(" ", "_").upper(),
]
_LABEL_KEYS = [
    "intent",
    "intent",
    "type",
    "label",
    "kind",
    "task",
    "command",
    "request",
    "topic",
    "function",
    "name",
    "skill",
]
_SLOT_KEYS = ["slots", "slots", "entities", "args", "parameters", "values", "fields", "data", "params", "details"]


@dataclass(frozen=True)
class Schema:
    """How a row's answers look: names of intents and keys, shape, and what becomes of slots that are not there."""

    intents: dict[str, str]
    keys: dict[str, str]
    label_key: str | None
    slot_key: str | None
    missing: str

    def answer(self, request: Request) -> str:
        """The JSON object for one request, its slots in the schema's order."""
        found: dict[str, Any] = {}
        for slot, key in self.keys.items():
            if slot in request.slots:
                found[key] = request.slots[slot]
            elif self.missing != "leave out":
                found[key] = None if self.missing == "null" else ""
        label = {self.label_key: self.intents[request.intent.name]} if self.label_key else {}
        return as_json({**label, self.slot_key: found} if self.slot_key else {**label, **found})


def row(rng: random.Random, source: Passages) -> Row:
    """A request with its schema given, shown by examples, or implied."""
    return rng.choices([_described, _by_example, _canonical, _single], weights=[45, 26, 24, 15])[0](rng, source)


def _pool(rng: random.Random) -> list[Intent]:
    """Intents that one installation would know: of one domain or of a few."""
    every = REQUESTS if rng.random() < 0.8 else RECORDS
    if rng.random() < 0.55:
        domain = rng.choice(every).domain
        chosen = [intent for intent in every if intent.domain == domain]
        return rng.sample(chosen, min(len(chosen), rng.randint(2, 4)))
    return rng.sample(every, rng.randint(2, 6))


def _schema(rng: random.Random, requests: list[Request], intents: list[Intent], missing: str) -> Schema:
    """A schema with random names that covers the requests and sometimes more."""
    slots = list(dict.fromkeys(slot for request in requests for slot in request.slots))
    if missing == "leave out" or rng.random() < 0.4:
        alike = frozenset(slots).union(*(group for group in ALIKE if not group.isdisjoint(slots)))
        slots += rng.sample([slot for slot in SLOTS if slot not in alike], rng.randint(0, 3))
    if rng.random() < 0.5:
        rng.shuffle(slots)
    label_key = rng.choice(_LABEL_KEYS) if rng.random() < 0.75 else None
    nested = rng.random() < 0.45
    slot_key = rng.choice(_SLOT_KEYS) if nested else None
    case, label_case = rng.choice(_CASES[:6]), rng.choice(_CASES)
    names = _intent_names(rng, intents, label_case)
    keys = _key_names(rng, slots, case, taken={label_key or "", slot_key or ""})
    return Schema(names, keys, label_key, slot_key, missing)


def _intent_names(rng: random.Random, intents: list[Intent], case: Case) -> dict[str, str]:
    """The label of each intent, as one program would write them."""
    if rng.random() < 0.15:
        return {intent.name: case(f"{intent.domain} {intent.name}") for intent in intents}
    return {intent.name: case(intent.name) for intent in intents}


def _key_names(rng: random.Random, slots: list[str], case: Case, taken: set[str]) -> dict[str, str]:
    """A key for each slot, all different."""
    keys: dict[str, str] = {}
    for slot in slots:
        choices = [case(key) for key in SLOTS[slot].keys] + [case(slot.replace("_", " "))]
        free = [key for key in choices if key not in taken] or [case(f"{slot} {made_up(rng, 1, 1)}")]
        keys[slot] = rng.choice(free)
        taken.add(keys[slot])
    return keys


def _described(rng: random.Random, source: Passages) -> Row:
    """The schema is in the prompt, one request follows; sometimes several turns under the same schema."""
    intents = _pool(rng)
    turns = 1 if rng.random() < 0.85 else rng.randint(2, 3)
    requests = [random_request(rng, source, rng.choice(intents)) for _ in range(turns)]
    schema = _schema(rng, requests, intents, rng.choice(["leave out", "leave out", "null", "null", "empty"]))
    instruction = _instruction(rng, schema)
    if turns == 1:
        return compose(rng, instruction, requests[0].text, schema.answer(requests[0]))
    turned = [m for r in requests for m in (message("user", r.text), message("assistant", schema.answer(r)))]
    return [message("system", instruction), *turned]


def _instruction(rng: random.Random, schema: Schema) -> str:
    """The schema in words, as a list, or as a skeleton."""
    verb = rng.choice(
        [
            "Turn the request into JSON",
            "Answer with one JSON object",
            "Extract the details as JSON",
            "Parse this",
            "Convert the text to a JSON object",
            "Fill in the JSON",
            "Return JSON",
            "Read the message and give JSON",
            "You map requests to JSON",
            "Reply only with JSON",
            "Understand the request and output JSON",
        ]
    )
    parts = [verb + "." if rng.random() < 0.7 else verb + ":"]
    if schema.label_key:
        parts.append(_label_rule(rng, schema, schema.label_key))
    parts.append(_slot_rule(rng, schema))
    rule = _missing_rule(rng, schema)
    return rng.choice([" ", " ", "\n"]).join(part for part in [*parts, rule] if part)


def _label_rule(rng: random.Random, schema: Schema, key: str) -> str:
    labels = list(schema.intents.values())
    rng.shuffle(labels)
    listed = rng.choice([", ", ", ", " | ", " or "]).join(labels)
    return rng.choice(
        [
            f'"{key}" is one of: {listed}.',
            f"{key}: {listed}.",
            f'Choose "{key}" from {listed}.',
            f"Set {key} to one of these: {listed}.",
            f"Possible values of {key} are {listed}.",
        ]
    )


def _slot_rule(rng: random.Random, schema: Schema) -> str:
    keys = list(schema.keys.items())
    where = f' inside "{schema.slot_key}"' if schema.slot_key else ""
    kind = rng.randrange(5)
    if kind == 0:
        lines = "\n".join(f"- {key}: {SLOTS[slot].about}" for slot, key in keys)
        return f"Keys{where}:\n{lines}\n"
    if kind == 1:
        return f"Use the keys{where} " + "; ".join(f"{key} ({SLOTS[slot].about})" for slot, key in keys) + "."
    if kind == 2:
        return "Form: " + _skeleton(rng, schema)
    names = ", ".join(f'"{key}"' if kind == 3 else key for _, key in keys)
    return rng.choice([f"Keys{where}: {names}.", f"The fields{where} are {names}.", f"Use{where} these keys: {names}."])


def _skeleton(rng: random.Random, schema: Schema) -> str:
    filler = rng.choice(["...", "", "<text>", "?", "string"])
    inner: dict[str, Any] = dict.fromkeys(schema.keys.values(), filler)
    label = {schema.label_key: filler} if schema.label_key else {}
    return as_json({**label, schema.slot_key: inner} if schema.slot_key else {**label, **inner})


def _missing_rule(rng: random.Random, schema: Schema) -> str:
    if schema.missing == "null":
        return rng.choice(["Use null when something is not mentioned.", "null if absent.", "Missing values are null."])
    if schema.missing == "empty":
        return rng.choice(['Use "" for what is missing.', "Empty string when not given.", 'Absent values are "".'])
    return rng.choice(
        ["Leave out what is not mentioned.", "Only include what is there.", "Skip absent keys.", "Omit missing keys."]
    )


def _by_example(rng: random.Random, source: Passages) -> Row:
    """The schema is shown by a few solved requests of the same intents."""
    intents = _pool(rng)[:3]
    shots = rng.randint(max(2, len(intents)), 5)
    asked = rng.choice(intents)
    order = [*intents, *rng.choices(intents, k=shots - len(intents))]
    rng.shuffle(order)
    requests = _taught(rng, source, [*order, asked])
    schema = _schema(rng, requests, intents, "leave out")
    return show(rng, [(request.text, schema.answer(request)) for request in requests])


def _taught(rng: random.Random, source: Passages, intents: list[Intent]) -> list[Request]:
    """Requests whose last has only slots that the others have shown."""
    *shown, asked = intents
    examples = [random_request(rng, source, intent) for intent in shown]
    known = {slot for example in examples for slot in example.slots}
    for _ in range(20):
        last = random_request(rng, source, asked)
        if known.issuperset(last.slots):
            return [*examples, last]
    return [*examples, random_request(rng, source, asked)]


def _canonical(rng: random.Random, source: Passages) -> Row:
    """No schema: the everyday names of intent and slots."""
    request = random_request(rng, source)
    keys = {slot: slot for slot in request.slots}
    schema = Schema({request.intent.name: request.intent.name.replace(" ", "_")}, keys, "intent", "slots", "leave out")
    instruction = rng.choice(
        [
            "Give intent and slots as JSON.",
            "What does the user want? Answer with intent and slots in JSON.",
            "intent and slots",
            "Output the intent and its slots.",
            "Semantic parse as JSON.",
        ]
    )
    return compose(rng, instruction, request.text, schema.answer(request))


def _single(rng: random.Random, source: Passages) -> Row:
    """One or two slots are asked for by their meaning; the answer is the span, or a small object."""
    request = random_request(rng, source)
    slot = rng.choice(list(request.slots))
    about, value = SLOTS[slot].about, request.slots[slot]
    if rng.random() < 0.5:
        asked = rng.choice(
            [
                f"Find {about}.",
                f"Copy {about} from the text.",
                f"Which words give {about}?",
                f"Only {about}:",
                f"Extract {about}.",
                f"From this message I need {about}.",
            ]
        )
        return compose(rng, asked, request.text, value)
    key = rng.choice(_CASES[:6])(rng.choice(SLOTS[slot].keys))
    asked = rng.choice(
        [
            f'Give {about} as JSON with the key "{key}".',
            f"JSON with one key, {key}: {about}.",
            f'Fill in {{"{key}": ...}} with {about}.',
        ]
    )
    return exchange(layout(rng, asked, request.text), as_json({key: value}))
