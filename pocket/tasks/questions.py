"""Questions about a passage of made-up facts, and words left out of prose."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import entities as e
from pocket.tasks import names, times
from pocket.tasks.rows import Row, as_json, exchange

Fact = tuple[str, str, str]
"""A sentence, a question about it, and the answer, which is a span of the sentence."""


def row(rng: random.Random, source: Passages) -> Row:
    """A question about facts, or about prose."""
    return rng.choices([_about_facts, _cloze, _next_words, _who_said], weights=[70, 14, 8, 8])[0](rng, source)


def _choose(rng: random.Random, *facts: Fact) -> Fact:
    return rng.choice(facts)


def _person_fact(rng: random.Random, source: Passages, who: str) -> Fact:
    city, job, year, other = (
        e.city(rng, source),
        e.listed("job")(rng, source),
        str(rng.randint(1900, 2020)),
        e.person(rng, source),
    )
    company, book, animal, sport = (
        e.company(rng, source),
        e.title(rng, source),
        rng.choice(names.LISTS["animal"]),
        rng.choice(names.LISTS["sport"]),
    )
    article = "an" if job[0] in "aeiou" else "a"
    return _choose(
        rng,
        (f"{who} was born in {city}.", f"Where was {who} born?", city),
        (f"{who} works as {article} {job}.", f"What is the job of {who}?", job),
        (f"{who} has been with {company} since {year}.", f"For which company does {who} work?", company),
        (f"{who} married {other} in {year}.", f"Who did {who} marry?", other),
        (f"{who} left school in {year}.", f"When did {who} leave school?", year),
        (f"In {year}, {who} wrote {book}.", f"What did {who} write?", book),
        (f"{who} keeps a {animal} called {e.made_up(rng).capitalize()}.", f"What animal does {who} keep?", animal),
        (f"On Sundays {who} goes to {sport}.", f"Which sport does {who} do?", sport),
        (f"{who} lives in {city} now.", f"Where does {who} live?", city),
        (f"The telephone number of {who} is {(number := e.phone(rng, source))}.", f"What is {who}'s number?", number),
    )


def _place_fact(rng: random.Random, source: Passages, where: str) -> Fact:
    count, year, dish = str(rng.randint(200, 90000)), str(rng.randint(1100, 1990)), rng.choice(names.LISTS["dish"])
    river, mayor, building = e.made_up(rng, 2, 2).capitalize(), e.person(rng, source), rng.choice(names.NOUNS)
    return _choose(
        rng,
        (f"{where} lies on the river {river}.", f"On which river is {where}?", river),
        (f"About {count} people live in {where}.", f"How many people live in {where}?", count),
        (f"{where} was founded in {year}.", f"When was {where} founded?", year),
        (f"The mayor of {where} is {mayor}.", f"Who is the mayor of {where}?", mayor),
        (f"{where} is known for its {dish}.", f"What is {where} known for?", dish),
        (
            f"There is an old {building} in the middle of {where}.",
            f"What is in the middle of {where}?",
            f"an old {building}",
        ),
    )


def _thing_fact(rng: random.Random, source: Passages, what: str) -> Fact:
    price, weight, material = e.amount(rng, source), e.weight(rng, source), rng.choice(names.LISTS["material"])
    color, maker, time = rng.choice(names.LISTS["color"]), e.company(rng, source), times.duration(rng, source)
    return _choose(
        rng,
        (f"The {what} costs {price}.", f"How much is the {what}?", price),
        (f"The {what} weighs {weight}.", f"How much does the {what} weigh?", weight),
        (f"The {what} is made of {material}.", f"What is the {what} made of?", material),
        (f"The {what} comes in {color}.", f"What color is the {what}?", color),
        (f"{maker} makes the {what}.", f"Who makes the {what}?", maker),
        (f"The guarantee of the {what} lasts {time}.", f"How long is the guarantee of the {what}?", time),
    )


def _event_fact(rng: random.Random, source: Passages, event: str) -> Fact:
    day, time, room, host = (
        times.date(rng, source),
        times.clock(rng, source),
        rng.choice(names.LISTS["room_name"]),
        e.person(rng, source),
    )
    return _choose(
        rng,
        (f"The {event} takes place on {day}.", f"When is the {event}?", day),
        (f"The {event} starts at {time}.", f"At what time does the {event} start?", time),
        (f"The {event} is in {room}.", f"Where is the {event}?", room),
        (f"{host} leads the {event}.", f"Who leads the {event}?", host),
    )


def _facts(rng: random.Random, source: Passages, count: int) -> list[Fact]:
    """Facts about different subjects, no two about the same thing."""
    facts: dict[str, Fact] = {}
    while len(facts) < count:
        make, subject = rng.choice(
            [(_person_fact, e.person), (_place_fact, e.city), (_thing_fact, e.product), (_event_fact, _event)]
        )
        who = subject(rng, source)
        for _ in range(rng.randint(1, 3)):
            sentence, question, answer = make(rng, source, who)
            facts.setdefault(question, (sentence, question, answer))
    return list(facts.values())


def _event(rng: random.Random, _source: Passages) -> str:
    return rng.choice(names.LISTS["meeting"])


def _about_facts(rng: random.Random, source: Passages) -> Row:
    facts = _facts(rng, source, rng.randint(2, 8))
    if rng.random() < 0.2:
        facts.insert(rng.randint(0, len(facts)), (source.sentence(rng, 150), "", ""))
    passage = rng.choice([" ", " ", "\n"]).join(fact[0] for fact in facts)
    _, question, answer = rng.choice([fact for fact in facts if fact[1]])
    note, no_answer = rng.choice(
        [
            ("", ""),
            ("", ""),
            ("Answer 'unknown' if the text does not say.", "unknown"),
            ("If it is not in the text, say 'not given'.", "not given"),
        ]
    )
    if no_answer and rng.random() < 0.4:
        question, answer = _unanswered(rng, source, passage), no_answer
    return _pose(rng, passage, f"{question} {note}".strip(), answer)


def _unanswered(rng: random.Random, source: Passages, passage: str) -> str:
    while True:
        subject, make = rng.choice([(e.person, _person_fact), (e.city, _place_fact), (e.product, _thing_fact)])
        name = subject(rng, source)
        if name not in passage:
            return make(rng, source, name)[1]


def _pose(rng: random.Random, passage: str, question: str, answer: str) -> Row:
    if rng.random() < 0.1:
        key = rng.choice(["answer", "result", "value", "a"])
        return exchange(f'{passage}\n\n{question} Reply as JSON with the key "{key}".', as_json({key: answer}))
    shapes = [
        f"{passage}\n\n{question}", f"{passage}\nQuestion: {question}\nAnswer:",
        f"Read the text and answer.\n{passage}\n\n{question}",
        f"Context: {passage}\nQ: {question}\nA:", f"{question}\n\n{passage}", f"{question}\nUse this text: {passage}",
        f"<context>\n{passage}\n</context>\n{question}",
    ]  # fmt: skip
    if rng.random() < 0.15:
        system = rng.choice(["Answer from this text only:\n", "You know the following.\n", "Facts:\n"])
        return exchange(question, answer, system=system + passage)
    return exchange(rng.choice(shapes), answer)


def _cloze(rng: random.Random, source: Passages) -> Row:
    """A passage, then one of its sentences with a word left out."""
    passage = source.paragraph(rng, 500)
    sentences = [s for s in passage.split(". ") if s.count(" ") > 5] or [passage]
    sentence = rng.choice(sentences)
    words = sentence.split(" ")
    candidates = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()] or [0]
    at = rng.choice(candidates)
    low, high = max(0, at - rng.randint(4, 9)), at + rng.randint(4, 9)
    gap = rng.choice(["____", "[...]", "(?)", "___", "[MASK]"])
    hole = " ".join([*words[low:at], gap, *words[at + 1 : high]])
    asked = rng.choice(["Fill in the missing word:", "Which word is missing?", f"What stands in place of {gap}?"])
    return exchange(rng.choice([f"{passage}\n\n{asked} {hole}", f"{asked}\n{hole}\n\nText: {passage}"]), words[at])


def _next_words(rng: random.Random, source: Passages) -> Row:
    """The words that follow a given phrase in the passage."""
    passage = source.paragraph(rng, 450)
    words = passage.split(" ")
    size = rng.randint(2, 4)
    at = rng.randint(size, max(size, len(words) - 5))
    before = " ".join(words[at - size : at])
    count = min(rng.randint(2, 5), len(words) - at)
    if count < 1 or passage.count(before) != 1:
        return _cloze(rng, source)
    asked = rng.choice(
        [f'Which {count} words come after "{before}"?', f'Continue for {count} words from the text: "{before}"']
    )
    return exchange(f"{passage}\n\n{asked}", " ".join(words[at : at + count]))


def _who_said(rng: random.Random, source: Passages) -> Row:
    """Who said what in a short dialogue."""
    people = list(dict.fromkeys(e.first_name(rng, source) for _ in range(rng.randint(2, 4))))
    lines = {source.sentence(rng, 70): rng.choice(people) for _ in range(rng.randint(2, 5))}
    passage = "\n".join(
        rng.choice([f"{who}: {line}", f'{who} said: "{line}"', f'"{line}" — {who}']) for line, who in lines.items()
    )
    line, who = rng.choice(list(lines.items()))
    if rng.random() < 0.6:
        return exchange(rng.choice([f'{passage}\n\nWho said "{line}"?', f'Who says "{line}"?\n\n{passage}']), who)
    first = next(text for text, speaker in lines.items() if speaker == who)
    return exchange(f"{passage}\n\nWhat did {who} say first?", first)


QUESTIONS: list[Callable[[random.Random, Passages, str], Fact]] = [_person_fact, _place_fact, _thing_fact, _event_fact]
"""Makers of facts, for other themes."""
