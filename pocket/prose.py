"""English prose from a folder of ELTeC novels: documents to read, and spans for the tasks to copy from."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

Novel = list[str]
"""A novel as its clean paragraphs."""

HELD_OUT_EVERY = 20
"""One novel in this many is kept for validation."""

_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ", "\u00ad": "", "\ufeff": ""})
_SPACES = re.compile(r"\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"']?\s+(?=[\"'A-Z])")
_WORD = re.compile(r"[A-Za-zÀ-ÿ]+(?:'[a-z]+)?")
_HEADING = re.compile(r"^(chapter|book|part|volume|vol\.?|contents|preface|the end|finis)\b.{0,60}$", re.IGNORECASE)


def novel_files(corpus: Path, *, held_out: bool) -> list[Path]:
    """The corpus's text files, either those for training or those held out, always split the same way."""
    files = sorted(corpus.rglob("*.txt"))
    if not files:
        raise FileNotFoundError(f"no .txt novels in {corpus}")
    return [file for index, file in enumerate(files) if (index % HELD_OUT_EVERY == 7) == held_out]


def read_novel(file: Path) -> Novel:
    """The paragraphs of one novel with spaces and quotation marks made plain, headings and debris dropped."""
    blocks = re.split(r"\n\s*\n", file.read_text(encoding="utf-8", errors="replace"))
    paragraphs = (clean(block) for block in blocks)
    return [paragraph for paragraph in paragraphs if _is_prose(paragraph)]


def clean(text: str) -> str:
    """`text` on one line with straight quotation marks."""
    return _SPACES.sub(" ", text.translate(_QUOTES)).strip()


def _is_prose(paragraph: str) -> bool:
    """Whether this is running text: neither a heading, a page number nor a table of contents."""
    if len(paragraph) < 25 or _HEADING.match(paragraph):
        return False
    letters = sum(character.isalpha() or character == " " for character in paragraph)
    return letters > 0.85 * len(paragraph) and not paragraph.isupper()


def documents(novels: list[Novel], rng: random.Random, chars_per_token: float = 3.6) -> Iterator[str]:
    """Endless windows of consecutive paragraphs: most of 200 to 500 tokens, a fifth of nearly 1,000."""
    while True:
        novel: Novel = rng.choices(novels, weights=[len(novel) for novel in novels])[0]
        yield from _windows(novel, rng, chars_per_token)


def _windows(novel: Novel, rng: random.Random, chars_per_token: float, count: int = 40) -> Iterator[str]:
    """Some consecutive windows from a random place in `novel`."""
    at = rng.randrange(len(novel))
    for _ in range(count):
        tokens = rng.randint(850, 960) if rng.random() < 0.2 else rng.randint(200, 500)
        window, at = _window(novel, at, int(tokens * chars_per_token))
        if not window:
            return
        yield window


def _window(novel: Novel, at: int, size: int) -> tuple[str, int]:
    """Paragraphs from `at` of about `size` characters, cut at a sentence's end, and where the next begins."""
    parts: list[str] = []
    room = size
    while at < len(novel) and room > 0:
        paragraph = novel[at]
        at += 1
        if len(paragraph) > room:
            cut = paragraph.rfind(". ", 0, room) + 1
            parts.append(paragraph[:cut] if cut else "")
            break
        parts.append(paragraph)
        room -= len(paragraph) + 1
    return "\n".join(part for part in parts if part), at


class Passages:
    """Random words, spans, sentences and paragraphs of a set of novels, for tasks to be about."""

    def __init__(self, novels: list[Novel], rng: random.Random, num_paragraphs: int = 30_000) -> None:
        """Keep `num_paragraphs` paragraphs of the novels, chosen by `rng`."""
        every = [paragraph for novel in novels for paragraph in novel if 60 < len(paragraph) < 900]
        self.paragraphs = rng.sample(every, min(num_paragraphs, len(every)))
        sentences = (s for p in self.paragraphs for s in _SENTENCE_END.split(p))
        self.sentences = [s for s in (tidy(s) for s in sentences) if 20 < len(s) < 220 and s.count(" ") > 3]
        counts: Counter[str] = Counter(word for sentence in self.sentences for word in _WORD.findall(sentence))
        lower = (word for word, count in counts.items() if count > 1 and word.islower() and 2 < len(word) < 13)
        self.vocabulary = sorted(lower)
        self.common = [word for word, _ in counts.most_common(2500) if word.islower() and len(word) > 2]

    def word(self, rng: random.Random) -> str:
        """A lower-case word; every word of the novels is as likely, so most are rare."""
        return rng.choice(self.vocabulary if rng.random() < 0.7 else self.common)

    def words(self, rng: random.Random, count: int) -> list[str]:
        """`count` different words."""
        chosen: dict[str, None] = {}
        while len(chosen) < count:
            chosen[self.word(rng)] = None
        return list(chosen)

    def sentence(self, rng: random.Random, longest: int = 200) -> str:
        """One sentence of at most `longest` characters."""
        while True:
            sentence = rng.choice(self.sentences)
            if len(sentence) <= longest:
                return sentence

    def paragraph(self, rng: random.Random, longest: int = 600) -> str:
        """One paragraph of at most `longest` characters."""
        while True:
            paragraph = rng.choice(self.paragraphs)
            if len(paragraph) <= longest:
                return paragraph

    def span(self, rng: random.Random, fewest: int, most: int) -> str:
        """Consecutive words of one sentence, in lower case and without punctuation."""
        while True:
            words = _WORD.findall(rng.choice(self.sentences))
            size = rng.randint(fewest, most)
            if len(words) >= size:
                at = rng.randint(0, len(words) - size)
                return " ".join(words[at : at + size]).lower()


def tidy(sentence: str) -> str:
    """A sentence without stray quotation marks, so that it can be quoted."""
    return sentence.replace('"', "").replace("--", "—").strip(" -—'")
