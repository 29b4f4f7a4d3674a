"""Conversations of several turns: what was said before is asked for later, and a system message rules."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import entities as e
from pocket.tasks import names, times
from pocket.tasks.rows import Message, Row, as_json, message

_DETAILS: list[tuple[str, e.Maker, list[str], list[str]]] = [
    ("name", e.person, ["my name is {}", "i'm {}", "this is {}", "{} here", "My name is {}."], ["What is my name?",
    "who am i?", "what's my name"]),
    ("order number", e.code, ["my order number is {}", "it's order {}", "the order is {}", "Order {}."],
    ["What was my order number?", "which order was it?"]),
    ("city", e.city, ["i live in {}", "I am in {}", "i'm calling from {}", "we are based in {}"], ["Where do I live?",
    "which city am i in?"]),
    ("e-mail", e.email, ["my email is {}", "you can write to {}", "E-mail: {}"], ["What is my e-mail address?",
    "which email did i give you?"]),
    ("product", e.product, ["it's about the {}", "i bought a {}", "my {} is broken"], ["Which product is this about?",
    "what did i buy?"]),
    ("date", times.date, ["i need it by {}", "the date is {}", "it happened on {}"], ["Which date did I say?",
    "when was it?"]),
    ("amount", e.amount, ["i paid {}", "it cost {}", "they charged me {}"], ["How much was it?",
    "what amount did i mention?"]),
    ("company", e.company, ["i work at {}", "I am with {}", "my firm is {}"], ["Where do I work?",
    "which company is mine?"]),
    ("color", e.listed("color"), ["my favourite color is {}", "i like {} best", "make it {}"],
    ["What is my favourite color?", "which color did i say?"]),
    ("dish", e.listed("dish"), ["i want the {}", "i'll have {}", "my usual is {}"], ["What did I order?",
    "which dish do i want?"]),
    ("pet", e.listed("animal"), ["i have a {}", "my pet is a {}", "we keep a {}"], ["Which pet do I have?",
    "what animal do i keep?"]),
    ("phone", e.phone, ["my number is {}", "call me on {}", "Phone: {}"], ["What is my phone number?",
    "which number did i give?"]),
]  # fmt: skip
_ACKNOWLEDGE = [
    "Thank you.",
    "Noted.",
    "OK.",
    "I see.",
    "Got it.",
    "Thanks, I have noted that.",
    "All right.",
    "Understood.",
]
_FILLER = [
    ("hello", "Hello! How can I help?"),
    ("hi there", "Hello! How can I help?"),
    ("good morning", "Good morning!"),
    ("thanks", "You are welcome."),
    ("are you there?", "Yes, I am here."),
    ("can you help me?", "Yes, of course."),
]


def row(rng: random.Random, source: Passages) -> Row:
    """One of the kinds of conversation."""
    return rng.choice(_KINDS)(rng, source)


def _turns(*contents: str) -> Row:
    """Messages of user and assistant in turn."""
    return [message("user" if index % 2 == 0 else "assistant", content) for index, content in enumerate(contents)]


def _recall(rng: random.Random, source: Passages) -> Row:
    """Details told one by one; then some are asked for."""
    told: dict[str, tuple[str, list[str]]] = {}
    turns: list[Message] = _turns(*rng.choice(_FILLER)) if rng.random() < 0.4 else []
    note = rng.choice(_ACKNOWLEDGE)
    for name, make, ways, questions in rng.sample(_DETAILS, rng.randint(2, 4)):
        value = make(rng, source)
        told[name] = (value, questions)
        turns += _turns(rng.choice(ways).format(value), note)
    for name in rng.sample(list(told), rng.randint(1, 2)):
        value, questions = told[name]
        shape = rng.choice(["{v}", "{v}", "Your {n} is {v}.", "You said {v}."])
        asked = rng.choice(questions) + {"{v}": rng.choice(["", " Just the answer."])}.get(shape, "")
        turns += _turns(asked, f"{value}" if shape == "{v}" else shape.format(n=name, v=value))
    return _under_rule(rng, turns)


def _under_rule(rng: random.Random, turns: Row) -> Row:
    system = [
        "You are a helpful assistant.",
        "Be brief.",
        f"You are {rng.choice(names.FIRST)}, an assistant.",
        "Answer shortly.",
        f"You help customers of {rng.choice(names.LAST)} {rng.choice(names.COMPANY_TAILS)}.",
    ]
    return [message("system", rng.choice(system)), *turns] if rng.random() < 0.4 else turns


def _collect(rng: random.Random, source: Passages) -> Row:
    """The assistant asks for details one by one and sums them up as JSON."""
    chosen = rng.sample(_DETAILS, rng.randint(2, 4))
    keys = [name.replace(" ", "_").replace("-", "") for name, *_ in chosen]
    rule = rng.choice(
        ["Ask for {k}, one at a time. Then give them as JSON.", "Collect {k}. At the end answer with a JSON object."]
    )
    turns = [
        message("system", rule.format(k=", ".join(keys))),
        message("user", rng.choice(["hello", "hi", "start", "i need help"])),
    ]
    values: dict[str, str] = {}
    for key, (name, make, ways, _) in zip(keys, chosen, strict=True):
        values[key] = make(rng, source)
        answer = values[key] if rng.random() < 0.5 else rng.choice(ways).format(values[key])
        turns += [message("assistant", f"What is your {name}?"), message("user", answer)]
    return [*turns, message("assistant", as_json(values))]


def _rule_json(rng: random.Random, source: Passages) -> Row:
    """Every answer must have the form the system message sets."""
    key = rng.choice(["reply", "answer", "text", "message", "out", "say"])
    form, rule = rng.choice([
        (f'{{"{key}": "%s"}}', f'Always answer as JSON with the key "{key}".'), ("%s",
        "Answer in as few words as you can."),
        ("<%s>", "Put every answer in angle brackets."), ("Answer: %s", "Begin every reply with 'Answer: '."),
        (f"%s {key}", f"End each reply with the word {key}."), ("*%s*", "Put your answers between stars."),
    ])  # fmt: skip
    turns: Row = [message("system", rule)]
    for _ in range(rng.randint(1, 3)):
        question, answer = _small_question(rng, source)
        turns += _turns(question, form.replace("%s", answer))
    return turns


def _small_question(rng: random.Random, source: Passages) -> tuple[str, str]:
    """A question whose answer is in it."""
    name, city, thing, word = e.person(rng, source), e.city(rng, source), e.product(rng, source), source.word(rng)
    return rng.choice([
        (f"{name} lives in {city}. Where does {name} live?", city), (f"Repeat the word {word}.", word),
        (f"I am {name}. What am I called?", name), (f"I bought a {thing} in {city}. What did I buy?", thing),
        (f"say {word}", word), (f"Which is a city, {city} or a {thing}?", city),
        (f"The code is {(c := e.code(rng, source))}. What is the code?", c),
    ])  # fmt: skip


def _one_word(rng: random.Random, source: Passages) -> Row:
    """A system message fixes a reply to all, or to some, messages."""
    word, other, trigger = source.words(rng, 3)
    turns: Row = [message("system", f'If the user says "{trigger}", answer {word}. Otherwise answer {other}.')]
    for _ in range(rng.randint(1, 4)):
        said = trigger if rng.random() < 0.5 else source.word(rng)
        turns += _turns(said, word if said == trigger else other)
    return turns


def _earlier_turn(rng: random.Random, source: Passages) -> Row:
    """What was the first or the last thing that someone said."""
    said = [
        source.sentence(rng, 70) if rng.random() < 0.5 else source.span(rng, 2, 6) for _ in range(rng.randint(2, 3))
    ]
    note = rng.choice(_ACKNOWLEDGE)
    turns = [m for text in said for m in _turns(text, note)]
    question, answer = rng.choice(
        [
            ("What did I say first?", said[0]),
            ("Repeat my last message.", said[-1]),
            ("what was my first message", said[0]),
            ("Say again what I just said.", said[-1]),
        ]
    )
    return _under_rule(rng, [*turns, *_turns(question, answer)])


def _memory(rng: random.Random, source: Passages) -> Row:
    """Words with agreed meanings."""
    pairs = {word: e.made_up(rng) for word in source.words(rng, rng.randint(2, 4))}
    turns = [
        m
        for word, code in pairs.items()
        for m in _turns(rng.choice([f"{word} means {code}", f"call {word} {code}"]), "OK.")
    ]
    for word in rng.sample(list(pairs), rng.randint(1, len(pairs))):
        turns += _turns(rng.choice([f"What does {word} mean?", f"and {word}?", f"{word}?"]), pairs[word])
    return turns


def _correction(rng: random.Random, source: Passages) -> Row:
    """A detail is corrected; the new one counts."""
    _, make, ways, questions = rng.choice(_DETAILS)
    old, new = make(rng, source), make(rng, source)
    fix = rng.choice(
        ["sorry, i meant {}", "no wait, {}", "correction: {}", "it is {} now", "Please change that to {}."]
    )
    note = rng.choice(_ACKNOWLEDGE)
    return _turns(rng.choice(ways).format(old), note, fix.format(new), note, rng.choice(questions), new)


_KINDS: list[Callable[[random.Random, Passages], Row]] = [
    _recall, _recall, _recall, _collect, _rule_json, _rule_json, _one_word, _earlier_turn, _memory, _correction,
]  # fmt: skip
