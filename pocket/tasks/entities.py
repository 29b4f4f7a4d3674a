"""Things that tasks are about: names, titles, codes, dates and amounts, composed so that few are seen twice."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import names

Maker = Callable[[random.Random, Passages], str]
"""What makes one entity."""


def made_up(rng: random.Random, shortest: int = 1, longest: int = 3) -> str:
    """A lower-case word that no language has, of `shortest` to `longest` syllables."""
    syllables = (
        rng.choice(names.ONSETS) + rng.choice(names.VOWELS) + rng.choice(names.CODAS)
        for _ in range(rng.randint(shortest, longest))
    )
    word = "".join(syllables)
    return word if len(word) > 2 else word + rng.choice(["nor", "lix", "tam", "vel"])


def first_name(rng: random.Random, _source: Passages) -> str:
    """A given name, sometimes an invented one."""
    return made_up(rng, 2, 2).capitalize() if rng.random() < 0.2 else rng.choice(names.FIRST)


def last_name(rng: random.Random, _source: Passages) -> str:
    """A family name, sometimes an invented or double one."""
    kind = rng.random()
    if kind < 0.25:
        return made_up(rng, 2, 3).capitalize()
    if kind < 0.3:
        return f"{rng.choice(names.LAST)}-{rng.choice(names.LAST)}"
    return rng.choice(["O'", "Mc", "de ", "van "]) + rng.choice(names.LAST) if kind < 0.36 else rng.choice(names.LAST)


def person(rng: random.Random, source: Passages) -> str:
    """A full name."""
    title = rng.choice(["Dr ", "Ms ", "Mr ", "Mrs ", "Prof. "]) if rng.random() < 0.08 else ""
    middle = f" {rng.choice('ABCDEFGHJKLMNPRSTW')}." if rng.random() < 0.06 else ""
    return f"{title}{first_name(rng, source)}{middle} {last_name(rng, source)}"


def somebody(rng: random.Random, source: Passages) -> str:
    """A person as those who know them call them: often by the first name alone."""
    return first_name(rng, source) if rng.random() < 0.35 else person(rng, source)


def city(rng: random.Random, _source: Passages) -> str:
    """A town, two in five invented."""
    kind = rng.random()
    if kind < 0.3:
        return made_up(rng, 2, 3).capitalize()
    if kind < 0.4:
        tail = rng.choice(
            ["Falls", "Springs", "Bay", "Heights", "upon Tyne", "Beach", "Park", "Junction", "Hill", "Ridge"]
        )
        return f"{rng.choice([made_up(rng, 2, 2).capitalize(), rng.choice(names.LAST)])} {tail}"
    if kind < 0.5:
        return (
            rng.choice(["Port", "New", "Saint", "Fort", "Lake", "El", "San", "North"])
            + " "
            + made_up(rng, 2, 2).capitalize()
        )
    return rng.choice(names.CITIES)


def country(rng: random.Random, _source: Passages) -> str:
    """A country."""
    return rng.choice(names.COUNTRIES) if rng.random() < 0.8 else made_up(rng, 2, 3).capitalize() + "ia"


def place(rng: random.Random, source: Passages) -> str:
    """A town, or a country, or both."""
    kind = rng.random()
    if kind < 0.15:
        return country(rng, source)
    return f"{city(rng, source)}, {country(rng, source)}" if kind < 0.22 else city(rng, source)


def title(rng: random.Random, source: Passages) -> str:
    """The title of a work: composed words, a span of prose, a foreign phrase or an invented word."""
    adjective, noun, other = rng.choice(names.ADJECTIVES), rng.choice(names.NOUNS), rng.choice(names.NOUNS)
    kind = rng.random()
    if kind < 0.35:
        return title_case(source.span(rng, 1, 6))
    if kind < 0.45:
        return title_case(" ".join(rng.choices(names.FOREIGN, k=rng.randint(1, 3))))
    if kind < 0.5:
        return (
            f"{made_up(rng).capitalize()} {rng.choice(['II', 'III', '2', 'Vol. 3', 'Live', '(Remix)', '1999', '77'])}"
        )
    shapes = [
        f"the {adjective} {noun}", f"{noun} of the {other}", f"{adjective} {noun}s", f"{noun} and {other}", noun,
        f"{adjective} {noun} {other}", f"a {noun} in {rng.choice(names.CITIES)}", f"where the {noun}s are {adjective}",
        f"{made_up(rng)} {noun}", made_up(rng, 2, 3), f"my {adjective} {noun}", f"{noun} {rng.randint(2, 99)}",
        f"{rng.choice(names.FIRST)} and the {noun}", f"{adjective} {rng.choice(names.MONTHS)}", f"no more {noun}s",
        f"{rng.choice(names.LAST)}'s {noun}", f"don't {source.word(rng)} the {noun}", f"{noun}, {other}, {adjective}",
    ]  # fmt: skip
    return title_case(rng.choice(shapes))


def title_case(text: str) -> str:
    """Each word with a capital; what has one keeps it."""
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def artist(rng: random.Random, source: Passages) -> str:
    """Who made a work."""
    kind = rng.random()
    if kind < 0.45:
        return person(rng, source)
    adjective, noun = rng.choice(names.ADJECTIVES), rng.choice(names.NOUNS)
    shapes = [
        f"the {noun}s", f"the {adjective} {noun}s", f"{adjective} {noun}", made_up(rng, 2, 3),
        f"{made_up(rng)} {made_up(rng)}",
        f"DJ {made_up(rng)}", f"{rng.choice(names.FIRST)} & the {noun}s", rng.choice(names.FOREIGN), source.word(rng),
        f"{rng.choice(names.LAST)} {rng.choice(['Trio', 'Quartet', 'Band', 'Orchestra', 'Sisters'])}",
        "".join(rng.choices("ABCDEFGKLMNPRSTVXZ", k=3)),
    ]  # fmt: skip
    return title_case(rng.choice(shapes))


def playlist(rng: random.Random, source: Passages) -> str:
    """The name someone gave to a list."""
    moods = [
        "workout",
        "road trip",
        "party",
        "focus",
        "sunday morning",
        "running",
        "cleaning",
        "rainy day",
        "kitchen",
        "gym",
    ]
    mine = [
        "favorites",
        "mix",
        "hits",
        "classics",
        "vibes",
        "songs",
        "essentials",
        "jams",
        "collection",
        "list",
        "sounds",
    ]
    shapes = [
        f"{rng.choice(moods)} {rng.choice(mine)}", rng.choice(moods),
        f"{rng.choice(names.ADJECTIVES)} {rng.choice(mine)}",
        f"{rng.choice(names.LISTS['genre'])} {rng.choice(mine)}", f"{rng.choice(names.FIRST)}'s {rng.choice(mine)}",
        source.span(rng, 1, 4), f"{rng.randint(60, 99)}s {rng.choice(mine)}",
        f"{rng.choice(names.NOUNS)} {rng.choice(mine)}",
    ]  # fmt: skip
    return title_case(rng.choice(shapes))


def company(rng: random.Random, _source: Passages) -> str:
    """A firm."""
    head = rng.choice([made_up(rng, 2, 3).capitalize(), rng.choice(names.LAST), rng.choice(names.NOUNS).capitalize()])
    return f"{head} {rng.choice(names.COMPANY_TAILS)}"


def venue(rng: random.Random, _source: Passages) -> str:
    """A restaurant, hotel or hall."""
    noun, adjective = rng.choice(names.NOUNS), rng.choice(names.ADJECTIVES)
    shapes = [
        f"the {adjective} {noun}", f"{rng.choice(names.FIRST)}'s", f"chez {rng.choice(names.FIRST)}", made_up(rng, 2,
        3),
        f"{noun} & {rng.choice(names.NOUNS)}", f"casa {made_up(rng, 2, 2)}", f"{rng.choice(names.FOREIGN)}",
        f"{rng.choice(names.LAST)} {rng.choice(['Grill', 'Kitchen', 'Inn', 'House', 'Hotel', 'Lodge', 'Arms'])}",
    ]  # fmt: skip
    return title_case(rng.choice(shapes))


def product(rng: random.Random, source: Passages) -> str:
    """Something sold: a plain thing, or one with a brand, colour or model."""
    thing = rng.choice(names.PRODUCTS)
    shapes = [
        thing, thing, f"{rng.choice(names.LISTS['color'])} {thing}", f"{made_up(rng, 2, 3).capitalize()} {thing}",
        f"{made_up(rng, 2, 2).capitalize()} {model_number(rng, source)}", f"{thing} {model_number(rng, source)}",
        f"{rng.choice(names.ADJECTIVES).capitalize()}{rng.choice(names.NOUNS).capitalize()} {thing}",
        f"{rng.choice(names.LISTS['material'])} {thing}",
    ]  # fmt: skip
    return rng.choice(shapes)


def digits(rng: random.Random, count: int) -> str:
    """`count` digits."""
    return "".join(rng.choices("0123456789", k=count))


def capitals(rng: random.Random, count: int) -> str:
    """`count` capital letters."""
    return "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=count))


def model_number(rng: random.Random, _source: Passages) -> str:
    """The model of an appliance."""
    a, b = capitals(rng, rng.randint(1, 2)), digits(rng, rng.randint(1, 4))
    return rng.choice([f"{a}{b}", f"{a}-{b}", f"{b}{a}", f"{a}{b} Pro", f"Mk{rng.randint(2, 9)}", b])


def code(rng: random.Random, _source: Passages) -> str:
    """An order, parcel or reference number."""
    n = rng.randint(3, 7)
    shapes = [
        f"{capitals(rng, 2)}-{digits(rng, n)}", f"{capitals(rng, rng.randint(1, 3))}{digits(rng, n)}", digits(rng,
        n + 1),
        f"#{digits(rng, n)}", f"{digits(rng, 3)}-{digits(rng, 4)}",
        f"{capitals(rng, 3)}/{digits(rng, 2)}/{digits(rng, 3)}",
        f"{capitals(rng, 1)}{digits(rng, 2)}{capitals(rng, 2)}{digits(rng, 2)}", f"{digits(rng, 2)}.{digits(rng, 4)}",
        f"{rng.choice(['ORD', 'INV', 'REF', 'TKT', 'PO', 'BK'])}-{digits(rng, n)}",
    ]  # fmt: skip
    return rng.choice(shapes)


def date(rng: random.Random, _source: Passages) -> str:
    """A day as people write it."""
    day, month, year = rng.randint(1, 28), rng.choice(names.MONTHS), rng.randint(1990, 2034)
    weekday, number = rng.choice(names.WEEKDAYS), names.MONTHS.index(month) + 1
    shapes = [
        f"{month} {day}", f"{day} {month}", f"{month} {ordinal(day)}", f"{day} {month} {year}",
        f"{month} {day}, {year}",
        f"{year}-{number:02}-{day:02}", f"{day:02}/{number:02}/{year}", weekday, f"next {weekday}",
        f"{weekday} {day} {month}",
        "tomorrow", "today", "tonight", f"this {weekday}", "next week", f"the {ordinal(day)} of {month}",
        f"{weekday} morning",
        f"in {rng.randint(2, 12)} days", f"{weekday} evening", f"{day}.{number}.{year}", "the day after tomorrow",
    ]  # fmt: skip
    return rng.choice(shapes)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th."""
    tail = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{tail}"


def clock(rng: random.Random, _source: Passages) -> str:
    """A time of day as people write it."""
    hour, minute = rng.randint(1, 12), rng.choice([0, 5, 10, 15, 20, 25, 30, 40, 45, 50, 55, rng.randint(0, 59)])
    half = rng.choice(["am", "pm", " am", " pm", "AM", "PM"])
    shapes = [
        f"{hour}{half}", f"{hour}:{minute:02}{half}", f"{hour + 11}:{minute:02}", f"{hour:02}:{minute:02}",
        f"{hour} o'clock",
        f"half past {rng.choice(NUMBER_WORDS[1:13])}", f"quarter to {rng.choice(NUMBER_WORDS[1:13])}", "noon",
        "midnight",
        f"{rng.choice(NUMBER_WORDS[1:13])} thirty", f"{rng.choice(NUMBER_WORDS[1:13])} in the morning",
        f"{hour}.{minute:02}",
    ]  # fmt: skip
    return rng.choice(shapes)


NUMBER_WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]


def duration(rng: random.Random, _source: Passages) -> str:
    """A length of time."""
    count = rng.randint(2, 60)
    return rng.choice(
        [
            f"{count} minutes",
            f"{count} hours",
            f"{rng.choice(NUMBER_WORDS[2:])} days",
            "an hour",
            "half an hour",
            f"{count} seconds",
            "a week",
            f"{rng.choice(NUMBER_WORDS[2:])} weeks",
            f"{count} min",
        ]
    )


def amount(rng: random.Random, _source: Passages) -> str:
    """A sum of money."""
    whole, cents = rng.choice([rng.randint(1, 99), rng.randint(100, 9999)]), digits(rng, 2)
    shapes = [
        f"${whole}",
        f"${whole}.{cents}",
        f"€{whole}.{cents}",
        f"£{whole}",
        f"{whole} euros",
        f"{whole} dollars",
        f"{whole}.{cents} EUR",
        f"USD {whole}",
        f"{whole} {rng.choice(names.LISTS['currency'])}",
    ]
    return rng.choice(shapes)


def small_number(rng: random.Random, _source: Passages) -> str:
    """A count, in figures or in a word."""
    number = rng.randint(1, 12)
    return str(number) if rng.random() < 0.5 else NUMBER_WORDS[number]


def rating(rng: random.Random, _source: Passages) -> str:
    """A number of stars or points."""
    return rng.choice([str(rng.randint(0, 6)), rng.choice(NUMBER_WORDS[:7]), str(rng.randint(1, 10))])


def best_rating(rng: random.Random, _source: Passages) -> str:
    """The most stars or points that can be given."""
    return rng.choice(["5", "6", "10", "five", "six", "ten"])


def year(rng: random.Random, _source: Passages) -> str:
    """A year."""
    return str(rng.randint(1850, 2034)) if rng.random() < 0.85 else f"the {rng.randint(2, 9)}0s"


def email(rng: random.Random, _source: Passages) -> str:
    """An e-mail address."""
    user = rng.choice([rng.choice(names.FIRST), made_up(rng), rng.choice(names.LAST)]).lower()
    tail = rng.choice(["", str(rng.randint(1, 99)), "." + rng.choice(names.LAST).lower(), "_" + made_up(rng, 1, 1)])
    return (
        f"{user}{tail}@{made_up(rng, 1, 2)}.{rng.choice(['com', 'org', 'net', 'de', 'io', 'co.uk', 'fr', 'example'])}"
    )


def phone(rng: random.Random, _source: Passages) -> str:
    """A telephone number."""
    return rng.choice(
        [
            f"+{rng.randint(1, 99)} {digits(rng, 3)} {digits(rng, 4)}",
            f"{digits(rng, 3)}-{digits(rng, 4)}",
            f"({digits(rng, 3)}) {digits(rng, 3)}-{digits(rng, 4)}",
            f"0{digits(rng, 9)}",
        ]
    )


def address(rng: random.Random, _source: Passages) -> str:
    """A street address."""
    street = rng.choice([rng.choice(names.NOUNS).capitalize(), rng.choice(names.LAST), made_up(rng, 2, 2).capitalize()])
    kind = rng.choice(["Street", "Road", "Lane", "Avenue", "Square", "Way", "Drive", "Court", "St", "Terrace"])
    return f"{rng.randint(1, 299)} {street} {kind}"


def phrase(rng: random.Random, source: Passages) -> str:
    """A few words of prose."""
    return source.span(rng, 2, 6)


def temperature(rng: random.Random, _source: Passages) -> str:
    """A temperature."""
    degrees = rng.randint(5, 90)
    return rng.choice(
        [f"{degrees} degrees", f"{degrees}°C", f"{degrees}°F", f"{degrees} celsius", f"minus {degrees} degrees"]
    )


def percent(rng: random.Random, _source: Passages) -> str:
    """A share."""
    return f"{rng.randint(1, 100)}" + rng.choice(["%", " percent", " %"])


def weight(rng: random.Random, _source: Passages) -> str:
    """A weight or a size."""
    return f"{rng.randint(1, 90)}" + rng.choice([" kg", "kg", " pounds", " grams", " lbs", " tonnes", " cm", " litres"])


def flight(rng: random.Random, _source: Passages) -> str:
    """A flight or train number."""
    return f"{capitals(rng, 2)}{rng.choice(['', ' '])}{digits(rng, rng.randint(2, 4))}"


def listed(kind: str) -> Maker:
    """A maker of items of one of the closed lists, now and then with an invented one."""
    items = names.LISTS[kind]
    return lambda rng, _source: rng.choice(items)
