"""Days, hours, years and lengths of time as people write them."""

import random

from pocket.prose import Passages
from pocket.tasks import names


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


def year(rng: random.Random, _source: Passages) -> str:
    """A year."""
    return str(rng.randint(1850, 2034)) if rng.random() < 0.85 else f"the {rng.randint(2, 9)}0s"
