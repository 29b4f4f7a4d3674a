"""Classification: one of the listed labels, whatever the labels are called."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import entities, names, times
from pocket.tasks.domains import REQUESTS
from pocket.tasks.entities import city, made_up
from pocket.tasks.requests import random_request
from pocket.tasks.rows import Row, compose, inline_list
from pocket.tasks.shots import show

Draw = Callable[[str], str]
"""What makes a text of a class."""

Labels = dict[str, tuple[str, str]]
"""For each class its label, as it is to be written, and its meaning."""

_KINDS: dict[str, entities.Maker] = {
    name: entities.listed(name)
    for name in [
        "animal", "fruit", "vegetable", "instrument", "sport", "cloth", "furniture", "tool", "metal", "color", "job",
        "dish", "vehicle", "symptom", "language", "device", "genre", "cuisine",
    ]
} | {
    "city": entities.city, "state": entities.state, "country": entities.country, "person": entities.person,
    "title": entities.title, "company": entities.company, "address": entities.address, "date": times.date,
    "musician": entities.artist, "restaurant": entities.venue, "time": times.clock,
}  # fmt: skip
_NAMED = ["city", "state", "country", "person", "title", "company", "musician", "restaurant"]


def row(rng: random.Random, source: Passages) -> Row:
    """A text to classify with its choices listed, defined, or shown by examples."""
    classes, draw = rng.choice([_topics, _topics, _intents, _intents, _moods, _kinds, _kinds, _kinds])(rng, source)
    changes: list[Draw] = [str, str, str.upper, str.title, _underlined]
    change = rng.choice(changes)
    labels = {name: (change(name), about) for name, about in classes.items()}
    ways = [_listed, _listed, _defined, _by_example] if len(classes) < 6 else [_listed]
    return rng.choice(ways)(rng, labels, draw)


def _underlined(name: str) -> str:
    """A label of several words as programs write it."""
    return name.replace(" ", "_")


def _topics(rng: random.Random, source: Passages) -> tuple[dict[str, str], Draw]:
    """Domains of requests."""
    classes = rng.sample(sorted({intent.domain for intent in REQUESTS}), rng.randint(2, 7))
    members = {name: [intent for intent in REQUESTS if intent.domain == name] for name in classes}
    return {n: f"about {n}" for n in classes}, lambda n: random_request(rng, source, rng.choice(members[n])).text


def _intents(rng: random.Random, source: Passages) -> tuple[dict[str, str], Draw]:
    """What is asked for."""
    chosen = {intent.name: intent for intent in rng.sample(REQUESTS, rng.randint(2, 6))}
    return {name: f"wants to {name}" for name in chosen}, lambda name: random_request(rng, source, chosen[name]).text


def _moods(rng: random.Random, source: Passages) -> tuple[dict[str, str], Draw]:
    """Opinions."""
    classes = rng.sample(list(names.OPINIONS), rng.choice([2, 3]))

    def draw(name: str) -> str:
        word, thing, place = rng.choice(names.OPINIONS[name]), rng.choice(names.RATED), city(rng, source)
        shapes = [
            f"The {thing} was {word}.", f"the {thing} at {place} was {word}", f"I found the {thing} {word}.",
            f"We went to {place} and the {thing} was {word}.", f"{word}! that {thing}",
            f"the {thing} is {word}, says {rng.choice(names.FIRST)}",
            f"{source.span(rng, 1, 4)}, the {thing} was {word}",
        ]  # fmt: skip
        return rng.choice(shapes)

    return {name: f"a {name} opinion" for name in classes}, draw


def _kinds(rng: random.Random, source: Passages) -> tuple[dict[str, str], Draw]:
    """Kinds of things, the thing alone or in a few words."""
    classes = rng.sample(rng.choice([list(_KINDS), _NAMED, _NAMED]), rng.randint(2, 6))
    bare = rng.random() < 0.5
    tones: list[Draw] = [str, str, str.lower]
    tone = rng.choice(tones)

    def draw(name: str) -> str:
        thing = tone(_KINDS[name](rng, source))
        return thing if bare else f"{source.span(rng, 1, 4)} {thing} {source.span(rng, 1, 3)}"

    return {name: f"names a {name}" for name in classes}, draw


def _answer_form(rng: random.Random) -> tuple[str, str]:
    """How the label is to be given: a rule to add, and a form with `@` for the label."""
    key = rng.choice(["label", "class", "topic", "answer", "result", "kind", "choice", made_up(rng)])
    forms = [
        ("", "@"), ("Answer with the label only.", "@"), (f'Answer as JSON with the key "{key}".', f'{{"{key}": "@"}}'),
        (f"Begin with '{key}: '.", f"{key}: @"),
    ]  # fmt: skip
    return rng.choices(forms, weights=[5, 4, 2, 1])[0]


def _listed(rng: random.Random, labels: Labels, draw: Draw) -> Row:
    """The labels are words that say what they mean."""
    name = rng.choice(list(labels))
    shown = [label for label, _ in labels.values()]
    rng.shuffle(shown)
    listed = inline_list(rng, shown)
    asked = rng.choice([
        f"Classify as {listed}.", f"Choose one of: {listed}.", f"Which label fits? {listed}", f"Is this {listed}?",
        f"Labels: {listed}. Pick one.", f"What kind of text is this? Options: {listed}", f"Decide between {listed}.",
    ])  # fmt: skip
    rule, form = _answer_form(rng)
    return compose(rng, f"{asked} {rule}".strip(), draw(name), form.replace("@", labels[name][0]))


def _defined(rng: random.Random, labels: Labels, draw: Draw) -> Row:
    """The labels mean nothing; the prompt says what each stands for."""
    codes = _codes(rng, list(labels))
    name = rng.choice(list(labels))
    order = rng.sample(list(labels), len(labels))
    shape = rng.choice(["{c} = {m}", "{c}: {m}", "{c} if it is {m}", "{m} -> {c}", "say {c} for {m}"])
    rules = [shape.format(c=codes[key], m=key if rng.random() < 0.7 else labels[key][1]) for key in order]
    rule, form = _answer_form(rng)
    head = rng.choice(["Label the text.", "Use these codes:", "Classify.", "Assign a code:", "Sort it into a bin."])
    asked = f"{head}\n{rng.choice([chr(10), '; ', ', ']).join(rules)}\n{rule}".strip()
    return compose(rng, asked, draw(name), form.replace("@", codes[name]))


def _codes(rng: random.Random, keys: list[str]) -> dict[str, str]:
    """A different meaningless label for each class: words, letters or numbers."""
    letters = rng.sample("ABCDEFGHKLMNPQRSTXYZ", len(keys))
    if rng.random() < 0.5:
        return {key: made_up(rng, 1, 2) + letter.lower() for key, letter in zip(keys, letters, strict=True)}
    if rng.random() < 0.5:
        return dict(zip(keys, letters, strict=True))
    prefix = rng.choice(["", "L", "C-", "bin ", "Q"])
    return {key: f"{prefix}{number}" for key, number in zip(keys, rng.sample(range(1, 10), len(keys)), strict=True)}


def _by_example(rng: random.Random, labels: Labels, draw: Draw) -> Row:
    """The labels are shown by solved examples, some of them meaningless."""
    codes = _codes(rng, list(labels)) if rng.random() < 0.4 else {key: label for key, (label, _) in labels.items()}
    order = [*labels, *labels, *rng.choices(list(labels), k=rng.randint(0, 2))]
    rng.shuffle(order)
    return show(rng, [(draw(name), codes[name]) for name in [*order, rng.choice(list(labels))]])
