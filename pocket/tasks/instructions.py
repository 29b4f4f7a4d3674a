"""Short instructions: choose from a list, yes or no, fill a template, write a subject line, obey a form."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import entities as e
from pocket.tasks import names, times
from pocket.tasks.requests import random_request
from pocket.tasks.rows import Row, as_json, compose, exchange, inline_list, layout

_KINDS = {
    "animals": "animal",
    "fruits": "fruit",
    "vegetables": "vegetable",
    "instruments": "instrument",
    "sports": "sport",
    "clothes": "cloth",
    "tools": "tool",
    "metals": "metal",
    "colors": "color",
    "jobs": "job",
    "vehicles": "vehicle",
    "dishes": "dish",
    "languages": "language",
    "pieces of furniture": "furniture",
}


def row(rng: random.Random, source: Passages) -> Row:
    """One of the instructions."""
    return rng.choice(_WAYS)(rng, source)


def _list_from(rng: random.Random, _source: Passages) -> Row:
    """The things of one kind among others, in their order."""
    kind, other = rng.sample(list(_KINDS), 2)
    wanted = rng.sample(names.LISTS[_KINDS[kind]], rng.randint(1, 4))
    rest = [
        thing
        for thing in rng.sample(names.LISTS[_KINDS[other]], rng.randint(1, 4))
        if thing not in names.LISTS[_KINDS[kind]]
    ]
    mixed = rng.sample([*wanted, *rest], len(wanted) + len(rest))
    found = [thing for thing in mixed if thing in wanted]
    asked = rng.choice([f"List only the {kind}.", f"Which of these are {kind}?", f"Pick out the {kind}."])
    if rng.random() < 0.3:
        return compose(rng, f"{asked} Answer as a JSON list.", ", ".join(mixed), as_json(found))
    return compose(rng, asked, ", ".join(mixed), ", ".join(found))


def _list_three(rng: random.Random, _source: Passages) -> Row:
    """The first few of the options that are given."""
    kind = rng.choice(list(_KINDS))
    things = rng.sample(names.LISTS[_KINDS[kind]], rng.randint(4, 7))
    count = rng.randint(1, 4)
    number = rng.choice([str(count), times.NUMBER_WORDS[count]])
    asked = rng.choice(
        [f"List the first {number} {kind}.", f"Give me the first {number} of these {kind}, separated by commas."]
    )
    return compose(rng, asked, inline_list(rng, things), ", ".join(things[:count]))


def _yes_no(rng: random.Random, source: Passages) -> Row:
    """Whether a request mentions something."""
    request = random_request(rng, source)
    there = rng.random() < 0.5
    value = (
        rng.choice(list(request.slots.values()))
        if there
        else random_request(rng, source).text.split(" ")[-1].strip(".?!")
    )
    there = value.lower() in request.text.lower()
    yes, no = rng.choice([("yes", "no"), ("Yes", "No"), ("true", "false"), ("1", "0"), ("YES", "NO")])
    asked = rng.choice(
        [f'Does the text mention "{value}"? Answer {yes} or {no}.', f'Is "{value}" in the message? {yes}/{no}']
    )
    return exchange(layout(rng, asked, request.text), yes if there else no)


_TEMPLATES = [
    "Dear {name}, your order {code} will arrive on {date}.",
    "Hello {name}! Your table at {venue} is booked for {time}.",
    "{name} ({company}) called about {subject}.", "Meet {name} in {city} at {time}.",
    "Invoice {code}: {amount}, due {date}.",
    "Now playing: {title} by {artist}", "Reminder: {subject} on {date}", "Parcel {code} -> {address}, {city}",
    "{title} - {artist}", "Thank you for buying the {item}, {name}.", "Please pay {amount} to {company} by {date}.",
    "Ticket for {name}: {city}, {date}, {time}", "Re: {item} ({code})", "{city}: {amount} for {item}",
    "Call {name} on {phone}",
]  # fmt: skip
_FIELDS: dict[str, e.Maker] = {
    "name": e.person, "code": e.code, "date": times.date, "venue": e.venue, "time": times.clock, "company": e.company,
    "subject": e.phrase,
    "city": e.city, "amount": e.amount, "title": e.title, "artist": e.artist, "address": e.address, "item": e.product,
    "phone": e.phone,
}  # fmt: skip


def _fill(rng: random.Random, source: Passages) -> Row:
    """A template with gaps, and what goes into them."""
    template = rng.choice(_TEMPLATES)
    values = {key: make(rng, source) for key, make in _FIELDS.items() if f"{{{key}}}" in template}
    left, right = rng.choice([("{", "}"), ("[", "]"), ("<", ">"), ("{{", "}}"), ("$", "")])
    shown = template.format(**{key: f"{left}{key}{right}" for key in values})
    given = list(values.items())
    rng.shuffle(given)
    facts = rng.choice(
        ["\n".join(f"{k}: {v}" for k, v in given), as_json(dict(given)), ", ".join(f"{k} = {v}" for k, v in given)]
    )
    asked = rng.choice(
        ["Fill in the template", "Complete the form letter", "Put the values in the text", "Use the template"]
    )
    return exchange(
        rng.choice([f"{asked}: {shown}\n{facts}", f"{facts}\n\n{asked}:\n{shown}", f"{asked}.\n\n{shown}\n\n{facts}"]),
        template.format(**values),
    )


def _subject_line(rng: random.Random, source: Passages) -> Row:
    """A message and its subject line: what it is about, and its number or date."""
    name, item, code, date = e.person(rng, source), e.product(rng, source), e.code(rng, source), times.date(rng, source)
    hello = rng.choice(["Hello,", "Dear team,", "Hi,", f"Dear {e.first_name(rng, source)},"])
    body, subject = rng.choice([
        (f"the {item} I ordered ({code}) has not come yet. Please look into it.", f"Missing delivery: {item} ({code})"),
        (f"I would like to return the {item} from order {code}.", f"Return: {item} ({code})"),
        (f"could you send me the invoice for order {code} again? It was for the {item}.",
        f"Invoice request: {item} ({code})"),
        (f"we must move our meeting to {date}. I hope that suits you.", f"Meeting moved: {date}"),
        (f"I want to thank you for the {item}. It works very well.", f"Thanks: {item}"),
        (f"the {item} arrived broken. The order was {code}.", f"Damaged delivery: {item} ({code})"),
        (f"I am away until {date}. Please write to {name} meanwhile.", f"Away: {date}"),
    ])  # fmt: skip
    extra = rng.choice(["", "", " " + source.sentence(rng, 80)])
    asked = rng.choice(
        [
            "Write a subject line.",
            "Summarise as a subject line.",
            "Give this e-mail a subject.",
            "Subject line for this message:",
        ]
    )
    return compose(rng, asked, f"{hello} {body}{extra}\n{name}", subject)


def _longest(rng: random.Random, source: Passages) -> Row:
    """The largest or smallest number, with its owner or alone."""
    people = {e.first_name(rng, source): rng.randint(1, 99) for _ in range(rng.randint(2, 4))}
    word, choose = rng.choice([("most", max), ("fewest", min)])
    who = choose(people, key=lambda name: people[name])
    if list(people.values()).count(people[who]) > 1:
        return _fill(rng, source)
    thing = rng.choice(names.NOUNS) + "s"
    text = ", ".join(f"{name} has {count} {thing}" for name, count in people.items()) + "."
    return compose(rng, f"Who has the {word} {thing}?", text, who)


def _choose_one(rng: random.Random, source: Passages) -> Row:
    """The option named by its letter or number."""
    options = [e.title(rng, source) if rng.random() < 0.5 else source.span(rng, 1, 5) for _ in range(rng.randint(3, 5))]
    marks = rng.choice(["ABCDE", "12345", "abcde"])
    end = rng.choice([")", ".", ":"])
    text = "\n".join(f"{mark}{end} {option}" for mark, option in zip(marks, options, strict=False))
    at = rng.randrange(len(options))
    if rng.random() < 0.5:
        return compose(rng, rng.choice([f"What is option {marks[at]}?", f"Read out {marks[at]}."]), text, options[at])
    return compose(rng, f'Which option is "{options[at]}"? Answer with its mark.', text, marks[at])


def _conditional(rng: random.Random, source: Passages) -> Row:
    """Say one thing if the text holds a word, else another."""
    words = source.words(rng, rng.randint(4, 9))
    present = rng.random() < 0.5
    trigger = rng.choice(words) if present else source.word(rng)
    present = trigger in words
    one, two = source.words(rng, 2)
    asked = rng.choice(
        [
            f"If the text has the word {trigger}, write {one}, otherwise write {two}.",
            f"Answer {one} if you see {trigger}; if not, answer {two}.",
        ]
    )
    return compose(rng, asked, " ".join(words), one if present else two)


def _reply(rng: random.Random, source: Passages) -> Row:
    """A request is confirmed in a fixed form that names its details."""
    request = random_request(rng, source)
    value = rng.choice(list(request.slots.values()))
    asked, answer = rng.choice([
        (f'Confirm with: "Done: ..." and the request in it. Detail: {value}', f"Done: {value}"),
        ("Quote the request and add 'OK.' at the end.", f'"{request.text}" OK.'),
        ("Put the request in square brackets.", f"[{request.text}]"),
        (f'Repeat the request as JSON with the key "{(key := source.word(rng))}".', as_json({key: request.text})),
    ])  # fmt: skip
    return exchange(layout(rng, asked, request.text), answer)


_WAYS: list[Callable[[random.Random, Passages], Row]] = [
    _list_from, _list_three, _yes_no, _fill, _fill, _fill, _subject_line, _longest, _choose_one, _conditional, _reply,
]  # fmt: skip
