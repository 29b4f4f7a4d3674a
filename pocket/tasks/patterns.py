"""Few-shot patterns: input and output pairs with a hidden rule, and a last input to apply it to."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import entities, names, times
from pocket.tasks.copying import anything
from pocket.tasks.rows import Row, as_json
from pocket.tasks.shots import show

Rule = tuple[Callable[[], str], Callable[[str], str]]
"""What draws an input, and what makes its output."""


def row(rng: random.Random, source: Passages) -> Row:
    """Three to six pairs and a question."""
    draw, apply = rng.choice(_RULES)(rng, source)
    pairs = [(text, apply(text)) for text in (draw() for _ in range(rng.randint(4, 7)))]
    return show(rng, pairs)


def _mapping(rng: random.Random, source: Passages) -> Rule:
    """Each word has a partner that was shown before."""
    words = source.words(rng, rng.randint(2, 4))
    partner = {word: rng.choice([entities.made_up(rng), source.word(rng), anything(rng, source)]) for word in words}
    queue: list[str] = []

    def draw() -> str:
        if not queue:
            queue.extend(rng.sample(words, len(words)))
        return queue.pop()

    return draw, lambda word: partner[word]


def _case(rng: random.Random, source: Passages) -> Rule:
    change = rng.choice(
        [
            str.upper,
            str.lower,
            entities.title_case,
            lambda text: text.replace(" ", "_"),
            lambda text: text.replace(" ", "-"),
        ]
    )
    return lambda: anything(rng, source), change


def _wrap(rng: random.Random, source: Passages) -> Rule:
    """A fixed frame around the input."""
    before, after = rng.choice(
        [
            ("<", ">"),
            ("[", "]"),
            ('"', '"'),
            ("* ", ""),
            ("", "!"),
            ("the ", ""),
            ("(", ")"),
            ("«", "»"),
            (f"{source.word(rng)} ", ""),
            ("", f" {source.word(rng)}"),
            (f"{entities.made_up(rng)}:", ""),
            ("dear ", ","),
            (f"{source.word(rng)} ", f" {source.word(rng)}"),
        ]
    )
    return lambda: anything(rng, source), lambda text: before + text + after


def _pick(rng: random.Random, source: Passages) -> Rule:
    """The word at one place of a list."""
    size, mark = rng.randint(2, 4), rng.choice([" ", ", ", " / ", "-", "; "])
    at = rng.randrange(size)
    makers: list[Callable[[], str]] = [
        lambda: source.word(rng), lambda: entities.made_up(rng), lambda: entities.digits(rng, 3),
    ]  # fmt: skip
    make = rng.choice(makers)
    return lambda: mark.join(make() for _ in range(size)), lambda text: text.split(mark)[at]


def _swap(rng: random.Random, source: Passages) -> Rule:
    """Two parts change places."""
    old, new = rng.choice([(" ", ", "), (" ", " "), ("-", "-"), (" and ", " and "), (":", ":"), (" ", "_")])
    makers: list[Callable[[], str]] = [
        lambda: source.word(rng), lambda: entities.made_up(rng), lambda: rng.choice(names.FIRST),
    ]  # fmt: skip
    make = rng.choice(makers)
    return lambda: f"{make()}{old}{make()}", lambda text: new.join(reversed(text.split(old)))


def _frame(rng: random.Random, source: Passages) -> Rule:
    """A sentence with one part that changes; the output is that part, plain or as JSON."""
    make = rng.choice([
        entities.city, entities.person, entities.title, entities.product, entities.code, entities.amount,
        entities.phrase,
    ])  # fmt: skip
    before, after = source.span(rng, 2, 5), source.span(rng, 2, 5)
    key = source.word(rng)
    shapes: list[Callable[[str], str]] = [
        str, lambda part: as_json({key: part}), lambda part: f"{key}={part}", lambda part: f"{key}: {part}",
    ]  # fmt: skip
    shape = rng.choice(shapes)
    return lambda: f"{before} {make(rng, source)} {after}", lambda text: shape(text[len(before) + 1 : -len(after) - 1])


def _two_parts(rng: random.Random, source: Passages) -> Rule:
    """A frame with two parts, both to be put into an object or a line."""
    one, two = rng.sample(
        [entities.city, entities.first_name, entities.product, entities.amount, times.date, entities.artist], 2
    )
    middle, start = f" {source.span(rng, 1, 3)} ", source.span(rng, 1, 3) + " "
    a, b = source.words(rng, 2)
    shapes: list[Callable[[str, str], str]] = [
        lambda x, y: as_json({a: x, b: y}), lambda x, y: f"{y} | {x}", lambda x, y: f"{a}: {x}; {b}: {y}",
        lambda x, y: as_json([x, y]), lambda x, y: f"{b}({y}, {x})",
    ]  # fmt: skip
    shape = rng.choice(shapes)
    seen: dict[str, tuple[str, str]] = {}

    def draw() -> str:
        x, y = one(rng, source), two(rng, source)
        text = f"{start}{x}{middle}{y}"
        seen[text] = (x, y)
        return text

    return draw, lambda text: shape(*seen[text])


def _category(rng: random.Random, _source: Passages) -> Rule:
    """A thing and its kind."""
    kinds = rng.sample(
        ["animal", "fruit", "instrument", "sport", "furniture", "tool", "metal", "job", "vegetable", "cloth"], 2
    )
    label = {thing: kind for kind in kinds for thing in names.LISTS[kind]}
    if rng.random() < 0.4:
        codes = {kind: entities.made_up(rng) for kind in kinds}
        label = {thing: codes[kind] for thing, kind in label.items()}
    things = rng.sample(list(label), 10)
    return lambda: things.pop(), lambda thing: label[thing]


def _date(rng: random.Random, _source: Passages) -> Rule:
    shape = rng.choice(["{d} {m} {y}", "{y}-{n:02}-{d:02}", "{m} {d}, {y}", "{d:02}.{n:02}.{y}", "{n:02}/{d:02}/{y}"])
    other = rng.choice(
        [
            s
            for s in ["{d} {m} {y}", "{y}-{n:02}-{d:02}", "{m} {d}, {y}", "{d:02}.{n:02}.{y}", "{y}/{n:02}"]
            if s != shape
        ]
    )
    seen: dict[str, str] = {}

    def draw() -> str:
        n = rng.randint(1, 12)
        parts = {"d": rng.randint(1, 28), "n": n, "m": names.MONTHS[n - 1], "y": rng.randint(1950, 2034)}
        text = shape.format(**parts)
        seen[text] = other.format(**parts)
        return text

    return draw, lambda text: seen[text]


_RULES: list[Callable[[random.Random, Passages], Rule]] = [
    _mapping, _mapping, _case, _wrap, _pick, _swap, _frame, _frame, _two_parts, _two_parts, _category, _date,
]  # fmt: skip
