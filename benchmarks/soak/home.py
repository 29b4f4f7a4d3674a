"""The models that are asked, and what each of them says when it is alone."""

import os
from dataclasses import dataclass
from pathlib import Path

import fettle
from fettle.services.platform import Platform
from fettle.settings import load_settings
from fettle.testing.installation import BASE, tiny_installation, tiny_version

#: Method and adapter kind of each version, after the first, which `tiny_installation` makes.
VERSIONS = {
    "red": (("tfew", "ia3"), ("prefix", "prefix")),
    "blue": (("lora", "lora"), ("adapter", "bottleneck")),
}
CONTEXT = 512
BEGINNING = "the man and the men in the thin north then ran over the heather and the tin "


@dataclass(frozen=True)
class Question:
    """What is asked, greedily."""

    text: str
    max_tokens: int


#: Short and long, with and without a beginning in common that the prefix cache finds.
QUESTIONS = tuple(
    Question(beginning + ending, max_tokens)
    for beginning in ("", BEGINNING, BEGINNING * 3)
    for ending, max_tokens in (("north", 4), ("the other", 16), ("over and over", 48), ("a thin hen", 24))
)
#: By full name, what is said to each question.
Truth = dict[str, dict[Question, str]]


def make_home(home: Path) -> None:
    """A home with a tiny base and custom models of several versions and kinds; this process works in it, too."""
    os.environ |= {"FETTLE_HOME": str(home), "FETTLE_THREADS": "1", "FETTLE_DTYPE": "float32"}
    tiny_installation(home, context=CONTEXT)
    with Platform(load_settings()) as platform:
        for number, (name, versions) in enumerate(VERSIONS.items()):
            for place, (method, kind) in enumerate(versions):
                tiny_version(platform, name, method, kind, seed=10 * (number + 1) + place)


def truth() -> Truth:
    """What each model says to each question, one at a time in this process, without a server."""
    names = [BASE, *(f"{name}:{version}" for name in VERSIONS for version in range(1, num_versions(name) + 1))]
    return {name: _answers(name) for name in names}


def num_versions(name: str) -> int:
    """Of a custom model."""
    return 1 + len(VERSIONS[name])


def _answers(name: str) -> dict[Question, str]:
    model = fettle.load(name)
    return {one: model.generate(one.text, max_tokens=one.max_tokens, ignore_eos=True) for one in QUESTIONS}
