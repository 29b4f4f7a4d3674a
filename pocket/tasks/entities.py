"""Things that tasks are about: names, titles, codes, dates and amounts, composed so that few are seen twice."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import gazetteer, names, vocabulary
from pocket.tasks.times import NUMBER_WORDS

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
    kind = rng.random()
    if kind < 0.5:
        return gazetteer.given_name(rng)
    return made_up(rng, 2, 2).capitalize() if kind < 0.6 else rng.choice(names.FIRST)


def last_name(rng: random.Random, _source: Passages) -> str:
    """A family name, sometimes an invented or double one."""
    kind = rng.random()
    if kind < 0.15:
        return made_up(rng, 2, 3).capitalize()
    if kind < 0.2:
        return f"{rng.choice(names.LAST)}-{rng.choice(names.LAST)}"
    if kind < 0.26:
        return rng.choice(["O'", "Mc", "de ", "van "]) + rng.choice(names.LAST)
    return gazetteer.family_name(rng) if kind < 0.7 else rng.choice(names.LAST)


def person(rng: random.Random, source: Passages) -> str:
    """A full name."""
    title = rng.choice(["Dr ", "Ms ", "Mr ", "Mrs ", "Prof. "]) if rng.random() < 0.08 else ""
    middle = f" {rng.choice('ABCDEFGHJKLMNPRSTW')}." if rng.random() < 0.06 else ""
    return f"{title}{first_name(rng, source)}{middle} {last_name(rng, source)}"


def somebody(rng: random.Random, source: Passages) -> str:
    """A person as those who know them call them: often by the first name alone."""
    return first_name(rng, source) if rng.random() < 0.35 else person(rng, source)


def city(rng: random.Random, _source: Passages) -> str:
    """A town, most of them real."""
    kind = rng.random()
    if kind < 0.5:
        return gazetteer.city(rng)
    if kind < 0.65:
        return made_up(rng, 2, 3).capitalize()
    if kind < 0.75:
        tail = rng.choice(
            ["Falls", "Springs", "Bay", "Heights", "upon Tyne", "Beach", "Park", "Junction", "Hill", "Ridge"]
        )
        return f"{rng.choice([made_up(rng, 2, 2).capitalize(), rng.choice(names.LAST)])} {tail}"
    if kind < 0.82:
        return (
            rng.choice(["Port", "New", "Saint", "Fort", "Lake", "El", "San", "North"])
            + " "
            + made_up(rng, 2, 2).capitalize()
        )
    return rng.choice(names.CITIES)


def country(rng: random.Random, _source: Passages) -> str:
    """A country."""
    return rng.choice(names.COUNTRIES) if rng.random() < 0.3 else gazetteer.country(rng)


def state(rng: random.Random, _source: Passages) -> str:
    """A state of the United States, or its code."""
    return gazetteer.state(rng)


def place(rng: random.Random, source: Passages) -> str:
    """A town, a state or a country, or the town and where it lies."""
    kind = rng.random()
    if kind < 0.25:
        return rng.choice([state, country])(rng, source)
    if kind < 0.4:
        return f"{city(rng, source)}{rng.choice([', ', ' '])}{rng.choice([state, country])(rng, source)}"
    return city(rng, source)


def title(rng: random.Random, source: Passages) -> str:
    """The title of a work: composed words, a span of prose, a foreign phrase or an invented word."""
    adjective, noun, other = rng.choice(names.ADJECTIVES), rng.choice(names.NOUNS), rng.choice(names.NOUNS)
    kind = rng.random()
    if kind < 0.3:
        return title_case(source.span(rng, 1, 6))
    if kind < 0.4:
        return title_case(foreign(rng, source))
    if kind < 0.48:
        return vocabulary.phrase(rng, 1, 4)
    if kind < 0.52:
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


def foreign(rng: random.Random, _source: Passages) -> str:
    """One to four words of another language."""
    if rng.random() < 0.6:
        return gazetteer.foreign_words(rng, 1, 4)
    return " ".join(rng.choices(names.FOREIGN, k=rng.randint(1, 3)))


def title_case(text: str) -> str:
    """Each word with a capital; what has one keeps it."""
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def artist(rng: random.Random, source: Passages) -> str:
    """Who made a work."""
    kind = rng.random()
    if kind < 0.55:
        return person(rng, source)
    if kind < 0.63:
        return vocabulary.phrase(rng, 1, 2)
    adjective, noun = rng.choice(names.ADJECTIVES), rng.choice(names.NOUNS)
    shapes = [
        f"the {noun}s", f"the {adjective} {noun}s", f"{adjective} {noun}", made_up(rng, 2, 3),
        f"{made_up(rng)} {made_up(rng)}",
        f"DJ {made_up(rng)}", f"{rng.choice(names.FIRST)} & the {noun}s", rng.choice(names.FOREIGN), source.word(rng),
        f"{rng.choice(names.LAST)} {rng.choice(['Trio', 'Quartet', 'Band', 'Orchestra', 'Sisters'])}",
        "".join(rng.choices("ABCDEFGKLMNPRSTVXZ", k=3)),
    ]  # fmt: skip
    return title_case(rng.choice(shapes))


def owner(rng: random.Random, source: Passages) -> str:
    """Whose something is."""
    return rng.choice(["my", "my", "my", "our", f"{first_name(rng, source)}'s", "his", "her"])


def party(rng: random.Random, source: Passages) -> str:
    """Who comes to dinner."""
    relation = rng.choice(names.RELATIONS)
    one, two, three = (first_name(rng, source) for _ in range(3))
    shapes = [
        f"me and my {relation}", f"my {relation} and I", f"{one} and {two}", f"{one}, {two} and {three}",
        f"me, {one} and {two}", f"{one} and me", f"my {relation} {one}", f"{one} {two} and {three}",
        rng.choice(names.LISTS["party"]),
    ]  # fmt: skip
    return rng.choice(shapes)


def landmark(rng: random.Random, source: Passages) -> str:
    """A place that people meet at."""
    kind = rng.choice(
        ["Museum", "Park", "Bridge", "Station", "Stadium", "Airport", "Zoo", "Theatre", "College", "Lake", "Tower",
         "Street station", "Cathedral", "Market", "Forest", "National Park", "Mall"]
    )  # fmt: skip
    head = rng.choice([city, last_name, title, state])(rng, source)
    return rng.choice([f"{head} {kind}", f"the {head} {kind}", f"{first_name(rng, source)}'s {kind.lower()}"])


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
        f"{rng.choice(names.NOUNS)} {rng.choice(mine)}", vocabulary.phrase(rng, 1, 4), foreign(rng, source),
        f"{vocabulary.phrase(rng, 1, 2)} {rng.choice(mine)}", f"this is {artist(rng, source)}", title(rng, source),
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
