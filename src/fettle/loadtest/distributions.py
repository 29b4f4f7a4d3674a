"""How lengths and models are drawn: distributions by name, written `name:number,number`."""

import math
from collections.abc import Callable, Mapping
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

Draw = Callable[[Random], int]
MAX_LENGTH = 1_000_000
MAX_SIGMA = 5
MAX_ALPHA = 10


class Form(NamedTuple):
    """A distribution that can be named.

    Attributes:
        numbers: what the numbers after the colon are called.
        make: makes it of them; raises ValueError when they do not fit.
    """

    numbers: tuple[str, ...]
    make: Callable[..., Any]


def length_draw(text: str) -> Draw:
    """The distribution of lengths that `text` names.

    Raises:
        ValueError: it names none, or its numbers do not fit.
    """
    draw: Draw = _made(text, LENGTHS)
    return draw


def place_draw(text: str, count: int) -> Draw:
    """The distribution of places 0 ... count - 1 that `text` names.

    Raises:
        ValueError: it names none, or its numbers do not fit.
    """
    draw: Draw = _made(text, POPULARITIES)(count)
    return draw


def fixed(length: float) -> Draw:
    """Always the same."""
    _check(length.is_integer() and 1 <= length <= MAX_LENGTH, f"N must be a whole number from 1 to {MAX_LENGTH:,}")
    return lambda _: int(length)


def uniform(low: float, high: float) -> Draw:
    """Every whole number from `low` to `high` as often."""
    is_whole = low.is_integer() and high.is_integer()
    _check(is_whole and 1 <= low <= high <= MAX_LENGTH, f"expected whole numbers 1 <= LOW <= HIGH <= {MAX_LENGTH:,}")
    return lambda random: random.randint(int(low), int(high))


def lognormal(mean: float, sigma: float) -> Draw:
    """Many short and a few long ones: `mean` is that of the lengths, `sigma` the deviation of their logarithms."""
    _check(1 <= mean <= MAX_LENGTH, f"MEAN must be from 1 to {MAX_LENGTH:,}")
    _check(0 <= sigma <= MAX_SIGMA, f"SIGMA must be from 0 to {MAX_SIGMA}")
    mu = math.log(mean) - sigma**2 / 2
    return lambda random: min(max(1, round(random.lognormvariate(mu, sigma))), MAX_LENGTH)


def zipf(alpha: float) -> Callable[[int], Draw]:
    """The k-th place is drawn in proportion to k ** -alpha."""
    _check(0 <= alpha <= MAX_ALPHA, f"ALPHA must be from 0 to {MAX_ALPHA}")
    return lambda count: _by_weight([place**-alpha for place in range(1, count + 1)])


LENGTHS = {
    "fixed": Form(("N",), fixed),
    "uniform": Form(("LOW", "HIGH"), uniform),
    "lognormal": Form(("MEAN", "SIGMA"), lognormal),
}
POPULARITIES = {"uniform": Form((), lambda: zipf(0)), "zipf": Form(("ALPHA",), zipf)}


def spelled(forms: Mapping[str, Form]) -> str:
    """The forms as they are written: 'fixed:N, uniform:LOW,HIGH or ...'."""
    *first, last = [name + ":" * bool(form.numbers) + ",".join(form.numbers) for name, form in forms.items()]
    return f"{', '.join(first)} or {last}"


def _made(text: str, forms: Mapping[str, Form]) -> Any:
    name, _, rest = text.partition(":")
    form, numbers = forms.get(name), _numbers(rest)
    if form is None or numbers is None or len(numbers) != len(form.numbers):
        raise ValueError(f"expected {spelled(forms)}")
    return form.make(*numbers)


def _numbers(text: str) -> list[float] | None:
    """The numbers between commas; None when something else is there."""
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        return None


def _by_weight(weights: list[float]) -> Draw:
    sums, places = list(accumulate(weights)), range(len(weights))
    return lambda random: random.choices(places, cum_weights=sums)[0]


def _check(is_good: bool, expected: str) -> None:
    if not is_good:
        raise ValueError(expected)
