"""The same facts in another format: CSV, key and value lines, JSON, sentences, dates, tables."""

import random
from collections.abc import Callable

from pocket.prose import Passages
from pocket.tasks import entities as e
from pocket.tasks import names, times
from pocket.tasks.rows import Row, as_json, compose
from pocket.tasks.slots import SLOTS


def row(rng: random.Random, source: Passages) -> Row:
    """One of the conversions."""
    return rng.choice(_WAYS)(rng, source)


def _record(rng: random.Random, source: Passages, fewest: int = 2, most: int = 6) -> dict[str, str]:
    """Random keys with fitting values."""
    record: dict[str, str] = {}
    for slot in rng.sample(list(SLOTS), rng.randint(fewest, most)):
        key = rng.choice(SLOTS[slot].keys).replace(" ", rng.choice(["_", " "]))
        record.setdefault(key, SLOTS[slot].make(rng, source).replace(",", "").replace(";", ""))
    return record


def _lines(rng: random.Random, record: dict[str, str]) -> str:
    mark, end = rng.choice([": ", " = ", "=", " - ", " -> "]), rng.choice(["\n", "\n", "; ", " | "])
    return end.join(f"{key}{mark}{value}" for key, value in record.items())


def _lines_to_json(rng: random.Random, source: Passages) -> Row:
    record = _record(rng, source)
    asked = rng.choice(
        ["Convert to JSON.", "Make a JSON object of this.", "Write these fields as JSON.", "to JSON", "As JSON please."]
    )
    return compose(rng, asked, _lines(rng, record), as_json(record))


def _json_to_lines(rng: random.Random, source: Passages) -> Row:
    record = _record(rng, source)
    asked, shape, end = rng.choice([
        ("Write each field as 'key: value' on its own line.", "{}: {}", "\n"),
        ("Write as key=value pairs, separated by semicolons.", "{}={}", "; "),
        ("Make a bulleted list of the fields.", "- {}: {}", "\n"), ("Turn into a table with | between key and value.",
        "{} | {}", "\n"),
    ])  # fmt: skip
    return compose(rng, asked, as_json(record), end.join(shape.format(key, value) for key, value in record.items()))


def _csv_to_json(rng: random.Random, source: Passages) -> Row:
    record = _record(rng, source, 2, 5)
    mark = rng.choice([",", ", ", ";", "\t", " | "])
    keys, values = mark.join(record), mark.join(record.values())
    if rng.random() < 0.5:
        asked = rng.choice(
            ["Turn the CSV into JSON.", "The first line names the fields. Give the second as JSON.", "CSV to JSON"]
        )
        return compose(rng, asked, f"{keys}\n{values}", as_json(record))
    return compose(rng, f"The columns are {', '.join(record)}. Write the line as JSON.", values, as_json(record))


def _json_to_csv(rng: random.Random, source: Passages) -> Row:
    record = _record(rng, source, 2, 5)
    if rng.random() < 0.5:
        return compose(rng, "Write the values as one CSV line.", as_json(record), ",".join(record.values()))
    return compose(
        rng, "Convert to CSV with a header line.", as_json(record), f"{','.join(record)}\n{','.join(record.values())}"
    )


def _pick_keys(rng: random.Random, source: Passages) -> Row:
    """Only some of the keys, or one of them renamed."""
    record = _record(rng, source, 3, 6)
    kept = [key for key in record if rng.random() < 0.5] or [next(iter(record))]
    if rng.random() < 0.5:
        return compose(
            rng, f"Keep only the keys {', '.join(kept)}.", as_json(record), as_json({key: record[key] for key in kept})
        )
    old, new = rng.choice(list(record)), e.made_up(rng)
    renamed = {new if key == old else key: value for key, value in record.items()}
    return compose(rng, f'Rename the key "{old}" to "{new}".', as_json(record), as_json(renamed))


def _value_of(rng: random.Random, source: Passages) -> Row:
    record = _record(rng, source, 3, 6)
    key = rng.choice(list(record))
    nested = rng.choice([record, {rng.choice(["data", "item", "record"]): record}])
    return compose(
        rng, rng.choice([f'What is "{key}"?', f"Value of {key}?", f"Read out {key}."]), as_json(nested), record[key]
    )


_SENTENCES: list[tuple[str, list[str]]] = [
    ("{name} lives in {city} and works as a {job}.", ["name", "city", "job"]),
    ("On {date}, {name} paid {amount} to {company}.", ["date", "name", "amount", "company"]),
    ("The {item} costs {amount} and comes in {color}.", ["item", "amount", "color"]),
    ("{name} flies from {origin} to {city} at {time}.", ["name", "origin", "city", "time"]),
    ("{artist} recorded {title} in {year}.", ["artist", "title", "year"]),
    ("Order {code} goes to {name} in {city}.", ["code", "name", "city"]),
    ("{name} has an appointment on {date} at {time}.", ["name", "date", "time"]),
    ("You can write to {name} at {email}.", ["name", "email"]),
    ("{company} is at {address}, {city}.", ["company", "address", "city"]),
    ("{title} is a book by {name}.", ["title", "name"]),
]
_MAKERS: dict[str, e.Maker] = {
    "name": e.person, "city": e.city, "origin": e.city, "job": e.listed("job"), "date": times.date, "amount": e.amount,
    "year": times.year,
    "company": e.company, "item": e.product, "color": e.listed("color"), "time": times.clock, "artist": e.artist,
    "title": e.title,
    "code": e.code, "email": e.email, "address": e.address,
}  # fmt: skip


def _sentence(rng: random.Random, source: Passages) -> Row:
    """A JSON object and a sentence that says the same, one from the other."""
    shape, keys = rng.choice(_SENTENCES)
    record = {key: _MAKERS[key](rng, source) for key in keys}
    sentence = shape.format(**record)
    if rng.random() < 0.5:
        example = shape.format(**{key: f"[{key}]" for key in keys})
        return compose(rng, f"Write a sentence like: {example}", as_json(record), sentence)
    if rng.random() < 0.5:
        keys = rng.sample(keys, len(keys))
    return compose(
        rng,
        f"Write this as JSON with the keys {', '.join(keys)}.",
        sentence,
        as_json({key: record[key] for key in keys}),
    )


def _date(rng: random.Random, _source: Passages) -> Row:
    """A date in a named form."""
    number, day, year = rng.randint(1, 12), rng.randint(1, 28), rng.randint(1950, 2034)
    month = names.MONTHS[number - 1]
    forms = {
        "YYYY-MM-DD": f"{year}-{number:02}-{day:02}", "DD.MM.YYYY": f"{day:02}.{number:02}.{year}",
        "day month year": f"{day} {month} {year}",
        "Month day, year": f"{month} {day}, {year}", "DD/MM/YYYY": f"{day:02}/{number:02}/{year}",
    }  # fmt: skip
    wanted = rng.choice(list(forms))
    given = rng.choice([form for form in forms if form not in (wanted, "DD/MM/YYYY")])
    return compose(
        rng, rng.choice([f"Write the date as {wanted}.", f"Convert the date to {wanted}."]), forms[given], forms[wanted]
    )


def _clock(rng: random.Random, _source: Passages) -> Row:
    hour, minute = rng.randint(0, 23), rng.randint(0, 59)
    long, short = f"{hour:02}:{minute:02}", f"{(hour - 1) % 12 + 1}:{minute:02} {'am' if hour < 12 else 'pm'}"
    if rng.random() < 0.5:
        return compose(rng, "Write the time in 24-hour form.", short, long)
    return compose(rng, "Write the time with am or pm.", long, short)


def _name_order(rng: random.Random, source: Passages) -> Row:
    first, last = e.first_name(rng, source), e.last_name(rng, source)
    asked, answer = rng.choice([
        ("Write as 'last, first'.", f"{last}, {first}"), ("Give the initials.", f"{first[0]}.{last[0].upper()}."),
        ("Make JSON with first and last.", as_json({"first": first, "last": last})), ("Only the last name.", last),
        ("Only the first name.", first), ("Write as F. Last.", f"{first[0]}. {last}"),
    ])  # fmt: skip
    return compose(rng, asked, f"{first} {last}", answer)


def _table(rng: random.Random, source: Passages) -> Row:
    """A table of several rows as a list of objects, or one of its rows."""
    slots = rng.sample(list(SLOTS), rng.randint(2, 3))
    rows = [{slot: SLOTS[slot].make(rng, source).replace(",", "") for slot in slots} for _ in range(rng.randint(2, 4))]
    mark = rng.choice([",", " | ", "; "])
    text = "\n".join([mark.join(slots), *(mark.join(record.values()) for record in rows)])
    if rng.random() < 0.6:
        return compose(
            rng,
            rng.choice(["Convert the table to a JSON list.", "Give all rows as JSON objects in a list."]),
            text,
            as_json(rows),
        )
    at = rng.randrange(len(rows))
    ask = f"In the row where {slots[0]} is {rows[at][slots[0]]}, what is {slots[1]}?"
    if sum(record[slots[0]] == rows[at][slots[0]] for record in rows) > 1:
        return _lines_to_json(rng, source)
    return compose(rng, ask, text, rows[at][slots[1]])


_WAYS: list[Callable[[random.Random, Passages], Row]] = [
    _lines_to_json, _lines_to_json, _lines_to_json, _json_to_lines, _csv_to_json, _csv_to_json, _json_to_csv,
    _pick_keys, _value_of,
    _sentence, _sentence, _date, _clock, _name_order, _table,
]  # fmt: skip
