"""Small edits of lists and words: case, order, sorting, counting, joining, replacing."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import entities, names
from pocket.tasks.copying import anything
from pocket.tasks.rows import Row, as_json, bullet_list, compose, inline_list


def row(rng: random.Random, source: Passages) -> Row:
    """One of the edits."""
    return rng.choice(_EDITS)(rng, source)


def _items(rng: random.Random, source: Passages, fewest: int = 2, most: int = 7) -> list[str]:
    """Different items of one sort."""
    makers: list[Callable[[], str]] = [
        lambda: rng.choice(names.NOUNS), lambda: entities.made_up(rng), lambda: source.word(rng),
        lambda: entities.city(rng, source), lambda: rng.choice(names.FIRST), lambda: entities.title(rng, source),
        lambda: rng.choice(rng.choice(list(names.LISTS.values()))),
    ]  # fmt: skip
    make = rng.choice(makers)
    items: dict[str, None] = {}
    size = rng.randint(fewest, most)
    while len(items) < size:
        items[make().replace(",", "")] = None
    return list(items)


def _case(rng: random.Random, source: Passages) -> Row:
    text = rng.choice([source.span(rng, 1, 8), anything(rng, source), source.sentence(rng, 90)])
    asked, change = rng.choice([
        ("upper case", str.upper), ("capital letters", str.upper), ("lower case", str.lower),
        ("small letters", str.lower), ("title case", entities.title_case),
    ])  # fmt: skip
    verb = rng.choice(
        [f"Write this in {asked}.", f"Convert to {asked}.", f"Change to {asked}.", f"Rewrite in {asked}."]
    )
    return compose(rng, verb, text, change(text))


def _reverse(rng: random.Random, source: Passages) -> Row:
    items = _items(rng, source)
    asked = rng.choice(
        ["Reverse the list.", "Give the items in reverse order.", "Write the list backwards, last item first."]
    )
    return compose(rng, asked, ", ".join(items), ", ".join(reversed(items)))


def _sort(rng: random.Random, source: Passages) -> Row:
    items = [str(n) for n in rng.sample(range(1, 100), rng.randint(3, 6))]
    if rng.random() < 0.5:
        asked, answer = (
            rng.choice(["Sort from small to large.", "Sort ascending.", "Order the numbers, lowest first."]),
            sorted(items, key=int),
        )
    else:
        asked, answer = (
            rng.choice(["Sort from large to small.", "Sort descending."]),
            sorted(items, key=int, reverse=True),
        )
    if rng.random() < 0.5:
        items = _items(rng, source, 3, 5)
        asked, answer = (
            rng.choice(["Sort alphabetically.", "Put these in alphabetical order."]),
            sorted(items, key=str.lower),
        )
    return compose(rng, asked, ", ".join(items), ", ".join(answer))


def _count(rng: random.Random, source: Passages) -> Row:
    items = _items(rng, source, 1, 9)
    asked = rng.choice(
        ["How many items are in the list?", "Count the items.", "How many are there? Answer with a number."]
    )
    text = rng.choice([bullet_list(rng, items), ", ".join(items), as_json(items)])
    return compose(rng, asked, text, str(len(items)))


def _join(rng: random.Random, source: Passages) -> Row:
    """The same items in another shape of list."""
    items = _items(rng, source, 2, 6)
    text = rng.choice([", ".join(items), "\n".join(items), "; ".join(items), " | ".join(items), as_json(items)])
    asked, answer = rng.choice([
        ("Write the items one per line.", "\n".join(items)),
        ("Make a JSON list of these.", as_json(items)),
        ("Give them as a bulleted list.", "\n".join(f"- {item}" for item in items)),
        ("Number the items.", "\n".join(f"{n}. {item}" for n, item in enumerate(items, 1))),
        ("Join the items with a plus sign.", " + ".join(items)),
        ("Separate the items with semicolons.", "; ".join(items)),
    ])  # fmt: skip
    return compose(rng, asked, text, answer)


def _replace(rng: random.Random, source: Passages) -> Row:
    words = source.span(rng, 4, 10).split(" ")
    old = rng.choice(words)
    new = rng.choice([entities.made_up(rng), source.word(rng), rng.choice(names.FIRST)])
    asked = rng.choice(
        [f"Replace {old} with {new}.", f'Change "{old}" to "{new}".', f"Put {new} wherever it says {old}."]
    )
    return compose(rng, asked, " ".join(words), " ".join(new if word == old else word for word in words))


def _remove(rng: random.Random, source: Passages) -> Row:
    items = _items(rng, source, 3, 7)
    gone = rng.choice(items)
    asked = rng.choice([f"Remove {gone} from the list.", f"Everything except {gone}.", f"Leave out {gone}."])
    return compose(rng, asked, ", ".join(items), ", ".join(item for item in items if item != gone))


def _append(rng: random.Random, source: Passages) -> Row:
    *items, extra = _items(rng, source, 3, 7)
    if rng.random() < 0.5:
        return compose(rng, f"Add {extra} to the end of the list.", ", ".join(items), ", ".join([*items, extra]))
    return compose(rng, f"Add {extra} to the start of the list.", ", ".join(items), ", ".join([extra, *items]))


def _contains(rng: random.Random, source: Passages) -> Row:
    *items, extra = _items(rng, source, 3, 8)
    there = rng.random() < 0.5
    asked = rng.choice(items) if there else extra
    question = rng.choice([f"Is {asked} in the list?", f"Does the list contain {asked}?", f"Can you see {asked} here?"])
    yes, no = rng.choice([("yes", "no"), ("Yes", "No"), ("true", "false"), ("Yes.", "No.")])
    return compose(
        rng, f"{question} Answer {yes.strip('.')} or {no.strip('.')}.", inline_list(rng, items), yes if there else no
    )


def _odd_repeat(rng: random.Random, source: Passages) -> Row:
    """The word that is there twice."""
    words = source.words(rng, rng.randint(3, 8))
    twice = rng.choice(words)
    words.insert(rng.randint(0, len(words)), twice)
    return compose(rng, rng.choice(["Which word appears twice?", "Find the repeated word."]), " ".join(words), twice)


def _spell(rng: random.Random, source: Passages) -> Row:
    word = rng.choice([entities.made_up(rng), source.word(rng), entities.code(rng, source).strip("#")])
    mark = rng.choice(["-", " ", ", "])
    if rng.random() < 0.6:
        asked = {"-": "with hyphens between the letters", " ": "with spaces", ", ": "with commas"}[mark]
        return compose(rng, f"Spell the word {asked}.", word, mark.join(word))
    return compose(rng, "Put the letters together to one word.", mark.join(word), word)


_EDITS: list[Callable[[random.Random, Passages], Row]] = [
    _case, _case, _reverse, _sort, _count, _join, _join, _replace, _replace, _remove, _append, _contains, _odd_repeat,
    _spell,
]  # fmt: skip
