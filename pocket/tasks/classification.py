"""Classification: one of the listed labels, whatever the labels are called."""

import random

from pocket.prose import Passages
from pocket.tasks import names
from pocket.tasks.domains import REQUESTS, Intent
from pocket.tasks.entities import made_up
from pocket.tasks.requests import random_request
from pocket.tasks.rows import Row, as_json, compose, exchange, inline_list, message

Labelled = tuple[str, str]
"""A text and the name of its class."""

_GOOD = """excellent,wonderful,great,superb,lovely,perfect,delightful,brilliant,charming,very good,a real pleasure,fantastic,
better than expected,worth every penny,outstanding,splendid""".replace("\n", "").split(",")
_BAD = """terrible,awful,bad,dreadful,boring,a waste of money,horrible,disappointing,poor,useless,much worse than expected,
not worth it,broken,rude,dirty,very slow""".replace("\n", "").split(",")
_PLAIN = """average,ordinary,as described,nothing special,neither good nor bad,acceptable,what it says on the box,so-so,
in the middle""".replace("\n", "").split(",")
_MOODS = {"positive": _GOOD, "negative": _BAD, "neutral": _PLAIN}
_THINGS = ["food", "service", "film", "book", "room", "staff", "delivery", "concert", "camera", "battery", "trip", "story", "show"]


def row(rng: random.Random, source: Passages) -> Row:
    """A text to classify with its choices listed, defined, or shown by examples."""
    classes, draw = rng.choice([_topics, _topics, _intents, _intents, _moods, _kinds])(rng, source)
    labels = _labels(rng, classes)
    ways = [_listed, _listed, _defined, _by_example] if len(classes) < 6 else [_listed]
    return rng.choice(ways)(rng, labels, draw)


def _topics(rng: random.Random, source: Passages):  # type: ignore[no-untyped-def]
    """Domains of requests."""
    every = sorted({intent.domain for intent in REQUESTS})
    classes = rng.sample(every, rng.randint(2, 7))

    def draw(name: str) -> str:
        return random_request(rng, source, rng.choice([i for i in REQUESTS if i.domain == name])).text

    return {name: f"about {name}" for name in classes}, draw


def _intents(rng: random.Random, source: Passages):  # type: ignore[no-untyped-def]
    """What is asked for."""
    chosen: dict[str, Intent] = {i.name: i for i in rng.sample(REQUESTS, rng.randint(2, 6))}
    return {name: f"wants to {name}" for name in chosen}, lambda name: random_request(rng, source, chosen[name]).text


def _moods(rng: random.Random, source: Passages):  # type: ignore[no-untyped-def]
    """Opinions."""
    classes = rng.sample(list(_MOODS), rng.choice([2, 3]))

    def draw(name: str) -> str:
        word, thing = rng.choice(_MOODS[name]), rng.choice(_THINGS)
        place = random_place(rng)
        return rng.choice([f"The {thing} was {word}.", f"the {thing} at {place} was {word}", f"I found the {thing} {word}.",
                           f"We went to {place} and the {thing} was {word}.", f"{word}! that {thing}", f"the {thing} is {word}, "
                           f"says {rng.choice(names.FIRST)}"])  # fmt: skip

    return {name: f"a {name} opinion" for name in classes}, draw


def random_place(rng: random.Random) -> str:
    """A town or an invented one."""
    return rng.choice([rng.choice(names.CITIES), made_up(rng, 2, 3).capitalize()])


def _kinds(rng: random.Random, source: Passages):  # type: ignore[no-untyped-def]
    """Kinds of things, the thing alone or in a few words."""
    every = ["animal", "fruit", "vegetable", "instrument", "sport", "cloth", "furniture", "tool", "metal", "color", "job", "dish",
             "vehicle", "symptom", "language", "device"]  # fmt: skip
    classes = rng.sample(every, rng.randint(2, 6))
    bare = rng.random() < 0.5

    def draw(name: str) -> str:
        thing = rng.choice(names.LISTS[name])
        return thing if bare else f"{source.span(rng, 1, 4)} {thing} {source.span(rng, 1, 3)}"

    return {name: f"names a {name}" for name in classes}, draw


def _labels(rng: random.Random, classes: dict[str, str]) -> dict[str, tuple[str, str]]:
    """For each class its label as it is to be written, and its meaning."""
    change = rng.choice([str, str, str.upper, str.title, lambda name: name.replace(" ", "_")])
    return {name: (change(name), about) for name, about in classes.items()}


def _answer_shape(rng: random.Random) -> tuple[str, str]:
    """How the label is to be given: a rule to add, and a form with `{}` for the label."""
    key = rng.choice(["label", "class", "topic", "answer", "result", "kind", "sentiment", "choice"])
    return rng.choices([("", "{}"), ("Answer with the label only.", "{}"), (f'Answer as JSON with the key "{key}".', f'{{"{key}": "{{}}"}}'),
                        (f"Begin with '{key}: '.", f"{key}: {{}}")], weights=[5, 4, 2, 1])[0]  # fmt: skip


def _filled(form: str, label: str) -> str:
    return form.replace("{}", label)


def _listed(rng: random.Random, labels, draw) -> Row:  # type: ignore[no-untyped-def]
    """The labels are words that say what they mean."""
    name = rng.choice(list(labels))
    shown = [label for label, _ in labels.values()]
    rng.shuffle(shown)
    listed = inline_list(rng, shown)
    asked = rng.choice([f"Classify as {listed}.", f"Choose one of: {listed}.", f"Which label fits? {listed}", f"Labels: {listed}. Pick one.",
                        f"Is this {listed}?", f"What kind of text is this? Options: {listed}", f"Decide between {listed}."])  # fmt: skip
    rule, form = _answer_shape(rng)
    return compose(rng, f"{asked} {rule}".strip(), draw(name), _filled(form, labels[name][0]))


def _defined(rng: random.Random, labels, draw) -> Row:  # type: ignore[no-untyped-def]
    """The labels mean nothing; the prompt says what each stands for."""
    codes = _codes(rng, list(labels))
    name = rng.choice(list(labels))
    order = list(labels)
    rng.shuffle(order)
    shape = rng.choice(["{c} = {m}", "{c}: {m}", "{c} if it is {m}", "{m} -> {c}", "say {c} for {m}"])
    rules = [shape.format(c=codes[key], m=key if rng.random() < 0.7 else labels[key][1]) for key in order]
    rule, form = _answer_shape(rng)
    listed = rng.choice(["\n", "; ", ", "]).join(rules)
    head = rng.choice(["Label the text.", "Use these codes:", "Classify.", "Assign a code:", "Sort the message into a bin."])
    return compose(rng, f"{head}\n{listed}\n{rule}".strip(), draw(name), _filled(form, codes[name]))


def _codes(rng: random.Random, keys: list[str]) -> dict[str, str]:
    """A different meaningless label for each class."""
    letters = rng.sample("ABCDEFGHKLMNPQRSTXYZ", len(keys))
    numbers = rng.sample(range(1, 10), len(keys))
    if rng.random() < 0.5:
        return {key: made_up(rng, 1, 2) + letter.lower() for key, letter in zip(keys, letters, strict=True)}
    if rng.random() < 0.5:
        return {key: rng.choice(["", "", ""]) + letter for key, letter in zip(keys, letters, strict=True)}
    prefix = rng.choice(["", "L", "C-", "bin ", "Q"])
    return {key: f"{prefix}{number}" for key, number in zip(keys, numbers, strict=True)}


def _by_example(rng: random.Random, labels, draw) -> Row:  # type: ignore[no-untyped-def]
    """The labels are shown by solved examples, some of them meaningless."""
    codes = _codes(rng, list(labels)) if rng.random() < 0.4 else {key: label for key, (label, _) in labels.items()}
    order = [*labels, *labels, *rng.choices(list(labels), k=rng.randint(0, 2))]
    rng.shuffle(order)
    shots = [(draw(name), codes[name]) for name in order]
    name = rng.choice(list(labels))
    if rng.random() < 0.25:
        turns = [m for text, label in shots for m in (message("user", text), message("assistant", label))]
        return [*turns, message("user", draw(name)), message("assistant", codes[name])]
    left, right = rng.choice([("Text", "Label"), ("Input", "Class"), ("Message", "Topic"), ("Q", "A")])
    shape = rng.choice(["{l}: {t}\n{r}: {c}", "{t} -> {c}", "{t} => {c}", "{t} | {c}"])
    gap = "\n\n" if "\n" in shape else "\n"
    body = gap.join(shape.format(l=left, r=right, t=text, c=label) for text, label in shots)
    return exchange(body + gap + shape.format(l=left, r=right, t=draw(name), c="").rstrip(), codes[name])


def as_choice(label: str, key: str) -> str:
    """A label as a JSON object."""
    return as_json({key: label})
