"""Copying: repeat a text, quote a part of it, find the part by its place or its marks."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import entities, times, vocabulary
from pocket.tasks.rows import Row, as_json, bullet_list, compose
from pocket.tasks.times import ordinal

_NTH = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
_ANYTHING: list[entities.Maker] = [
    entities.code, entities.person, entities.title, entities.email, entities.city, entities.product, entities.amount,
    times.date, entities.phone, entities.address, entities.company, entities.artist, entities.phrase,
    entities.playlist,
]  # fmt: skip


def anything(rng: random.Random, source: Passages) -> str:
    """An entity of any kind, a made-up word or a few words of prose."""
    kind = rng.random()
    if kind < 0.1:
        return " ".join(entities.made_up(rng) for _ in range(rng.randint(1, 3)))
    if kind < 0.25:
        return vocabulary.phrase(rng, 1, 4)
    return source.span(rng, 1, 5) if kind < 0.38 else rng.choice(_ANYTHING)(rng, source)


def _words(rng: random.Random, source: Passages) -> list[str]:
    """Words with no relation to each other."""
    strange = [vocabulary.word, entities.made_up]
    return [rng.choice(strange)(rng) if rng.random() < 0.5 else word for word in source.words(rng, rng.randint(3, 12))]


def row(rng: random.Random, source: Passages) -> Row:
    """One of the ways to copy."""
    return rng.choice(_WAYS)(rng, source)


def _repeat(rng: random.Random, source: Passages) -> Row:
    makers: list[Callable[[], str]] = [
        lambda: source.sentence(rng), lambda: " ".join(_words(rng, source)), lambda: anything(rng, source),
        lambda: ", ".join(anything(rng, source) for _ in range(rng.randint(2, 5))),
        lambda: bullet_list(rng, [anything(rng, source) for _ in range(rng.randint(2, 5))]),
    ]  # fmt: skip
    text = rng.choice(makers)()
    asked = rng.choice(
        [
            "Repeat this exactly.",
            "Say this again, word for word.",
            "Copy the text.",
            "Echo:",
            "Write the same text.",
            "Give this back unchanged.",
            "Return the input as it is.",
            "Repeat after me:",
            "Type this out again.",
        ]
    )
    return compose(rng, asked, text, text)


def _quoted(rng: random.Random, source: Passages) -> Row:
    """The span in quotation marks, or between other marks, within a sentence."""
    span = anything(rng, source) if rng.random() < 0.6 else source.span(rng, 2, 9)
    left, right, name = rng.choice([
        ('"', '"', "in quotation marks"), ("[", "]", "in square brackets"), ("(", ")", "in parentheses"), ("<b>",
        "</b>", "in bold"),
        ("**", "**", "between the stars"), ("{", "}", "in braces"), ("<<", ">>", "between << and >>"), ("_", "_",
        "underlined"),
        ("START ", " END", "between START and END"), ("<q>", "</q>", "inside the q tag"), ("|", "|",
        "between the bars"),
    ])  # fmt: skip
    before, after = source.span(rng, 2, 10), source.span(rng, 2, 10)
    asked = rng.choice(
        [f"What is {name}?", f"Copy the words {name}.", f"Return only the part {name}.", f"Find the text {name}."]
    )
    return compose(rng, asked, f"{before} {left}{span}{right} {after}", span)


def _nth_word(rng: random.Random, source: Passages) -> Row:
    words = _words(rng, source)
    at = rng.randrange(min(len(words), 6))
    where = rng.choice([_NTH[at], _NTH[at], ordinal(at + 1)])
    if rng.random() < 0.25:
        at, where = len(words) - 1, "last"
    asked = rng.choice(
        [f"What is the {where} word?", f"Give the {where} word.", f"Return the {where} word only.", f"{where} word:"]
    )
    return compose(rng, asked, " ".join(words), words[at])


def _nth_line(rng: random.Random, source: Passages) -> Row:
    items = [anything(rng, source) for _ in range(rng.randint(3, 7))]
    at = rng.randrange(len(items))
    where = "last" if at == len(items) - 1 else _NTH[at]
    noun = rng.choice(["line", "item", "entry"])
    asked = rng.choice([f"Copy the {where} {noun}.", f"What is the {where} {noun}?", f"Return {noun} number {at + 1}."])
    return compose(rng, asked, "\n".join(items), items[at])


def _first_words(rng: random.Random, source: Passages) -> Row:
    words = source.sentence(rng).split(" ")
    count = rng.randint(2, min(6, len(words)))
    if rng.random() < 0.6:
        asked, answer = f"Give the first {rng.choice([str(count), times.NUMBER_WORDS[count]])} words.", words[:count]
    else:
        asked, answer = f"Give the last {rng.choice([str(count), times.NUMBER_WORDS[count]])} words.", words[-count:]
    return compose(rng, asked, " ".join(words), " ".join(answer))


def _sentence_of(rng: random.Random, source: Passages) -> Row:
    sentences = [source.sentence(rng, 110) for _ in range(rng.randint(2, 5))]
    at = rng.choice([0, len(sentences) - 1, rng.randrange(len(sentences))])
    where = "last" if at == len(sentences) - 1 else _NTH[at]
    asked = rng.choice(
        [f"Quote the {where} sentence.", f"What does the {where} line say?", f"Copy the {where} sentence exactly."]
    )
    return compose(rng, asked, "\n".join(sentences), sentences[at])


def _line_with(rng: random.Random, source: Passages) -> Row:
    """The line that contains a given word or begins with a given key."""
    lines = [source.sentence(rng, 90) for _ in range(rng.randint(3, 5))]
    at = rng.randrange(len(lines))
    others = " ".join(line for index, line in enumerate(lines) if index != at)
    words = [word.strip(".,;:!?") for word in lines[at].split(" ")]
    rare = [word for word in words if len(word) > 4 and word not in others] or [lines[at].split(" ")[0]]
    word = rng.choice(rare)
    asked = rng.choice(
        [
            f'Which line contains "{word}"?',
            f"Copy the line with the word {word}.",
            f'Find the sentence that has "{word}".',
        ]
    )
    return compose(rng, asked, "\n".join(lines), lines[at])


def _value_of(rng: random.Random, source: Passages) -> Row:
    """The value that stands beside a key."""
    keys = source.words(rng, rng.randint(3, 8))
    pairs = {key: anything(rng, source) for key in keys}
    key = rng.choice(keys)
    mark = rng.choice([": ", " = ", " -> ", "\t", " - "])
    text = rng.choice(["\n".join(f"{k}{mark}{v}" for k, v in pairs.items()), as_json(pairs)])
    asked = rng.choice([f"What is the value of {key}?", f"{key}?", f"Look up {key}.", f'Give what stands at "{key}".'])
    return compose(rng, asked, text, pairs[key])


def _after_word(rng: random.Random, source: Passages) -> Row:
    words = list(dict.fromkeys([*_words(rng, source), *source.words(rng, 2)]))
    at = rng.randrange(len(words) - 1)
    after = rng.random() < 0.6
    asked, answer = ("after", words[at + 1]) if after else ("before", words[at])
    pivot = words[at] if after else words[at + 1]
    return compose(rng, f"Which word comes {asked} {pivot}?", " ".join(words), answer)


def _find_kind(rng: random.Random, source: Passages) -> Row:
    """An address, a code, a date or a sum hidden in prose."""
    kind, make = rng.choice([
        ("e-mail address", entities.email), ("phone number", entities.phone), ("reference number", entities.code),
        ("amount of money", entities.amount), ("street address", entities.address), ("company", entities.company),
    ])  # fmt: skip
    value = make(rng, source)
    words = source.span(rng, 6, 16).split(" ")
    at = rng.randint(1, len(words) - 1)
    asked = rng.choice(
        [f"Find the {kind}.", f"Which {kind} is in the text?", f"Extract the {kind} only.", f"Copy the {kind}."]
    )
    return compose(rng, asked, " ".join([*words[:at], value, *words[at:]]), value)


def _several(rng: random.Random, source: Passages) -> Row:
    """All quoted spans, as lines or as a JSON list."""
    spans = [anything(rng, source).replace('"', "") for _ in range(rng.randint(2, 4))]
    text = " ".join(f'{source.span(rng, 1, 4)} "{span}"' for span in spans) + " " + source.span(rng, 1, 4)
    if rng.random() < 0.5:
        asked = rng.choice(["List everything in quotation marks as JSON.", "Give the quoted parts as a JSON list."])
        return compose(rng, asked, text, as_json(spans))
    asked = rng.choice(["List everything in quotation marks, one per line.", "Copy each quoted part on its own line."])
    return compose(rng, asked, text, "\n".join(spans))


def _apart(rng: random.Random, _source: Passages) -> Row:
    """Words of one line, each on its own: in a JSON list, on a line, in marks or under numbers."""
    words = [vocabulary.word(rng) for _ in range(rng.randint(3, 12))]
    asked, answer = rng.choice([
        ("as a JSON list", as_json(words)), ("one per line", "\n".join(words)),
        ("in quotation marks", " ".join(f'"{word}"' for word in words)), ("separated by commas", ", ".join(words)),
        ("as JSON with the positions as keys", as_json({str(at): word for at, word in enumerate(words, 1)})),
        ("in parentheses", " ".join(f"({word})" for word in words)),
    ])  # fmt: skip
    verb = rng.choice(["Write the words", "Give the words", "The words", "Return each word", "Put these words"])
    return compose(rng, f"{verb} {asked}.", " ".join(words), answer)


_WAYS: list[Callable[[random.Random, Passages], Row]] = [
    _repeat, _repeat, _quoted, _quoted, _nth_word, _nth_line, _first_words, _sentence_of, _line_with, _value_of,
    _value_of,
    _after_word, _find_kind, _find_kind, _several, _apart, _apart, _apart,
]  # fmt: skip
