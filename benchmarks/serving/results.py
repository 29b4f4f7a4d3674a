"""What was measured, and how the figures of a table are read from it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from environments import NotMeasured

Key = tuple[str, str, str, int]


@dataclass(frozen=True)
class Run:
    """One round of one contender."""

    case: str
    contender: str
    on: str
    concurrency: int
    repeat: int
    seconds: float
    cpu_seconds: float
    tokens_per_second: float
    tokens_per_cpu_second: float
    decode_tokens_per_second: float | None

    @classmethod
    def of(cls, case: str, contender: str, on: str, concurrency: int, repeat: int, told: dict[str, Any]) -> "Run":
        """The run that a contender has told of."""
        num_tokens, facts = sum(map(len, told["answers"])), told["facts"]
        decoded = facts.get("decode_seconds")
        return cls(
            case,
            contender,
            on,
            concurrency,
            repeat,
            seconds=told["seconds"],
            cpu_seconds=told["cpu_seconds"],
            tokens_per_second=num_tokens / told["seconds"],
            tokens_per_cpu_second=num_tokens / max(told["cpu_seconds"], 1e-9),
            decode_tokens_per_second=facts["decode_tokens"] / decoded if decoded else None,
        )

    @property
    def key(self) -> Key:
        """What repeats of it share."""
        return self.case, self.contender, self.on, self.concurrency


@dataclass
class Results:
    """All runs, what the contenders said of themselves when they had loaded, what probes found, and what failed."""

    runs: list[Run] = field(default_factory=list)
    loaded: dict[str, dict[str, Any]] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    _answers: dict[tuple[Key, int], list[list[int]]] = field(default_factory=dict)

    def fail(self, case: str, contender: str, reason: str) -> None:
        """Note why something has no figure."""
        self.failed[f"{case}/{contender}"] = reason

    def keep_answers(
        self, case: str, contender: str, on: str, concurrency: int, repeat: int, answers: list[list[int]]
    ) -> None:
        """Keep a round's answers, to be compared with others'."""
        self._answers[(case, contender, on, concurrency), repeat] = answers

    def speed(
        self, case: str, contender: str, concurrency: int, on: str = "base", measure: str = "tokens_per_second"
    ) -> float:
        """The best of the repeats.

        Raises:
            NotMeasured: there is none.
        """
        key = (case, contender, on, concurrency)
        found = [getattr(run, measure) for run in self.runs if run.key == key]
        if not found:
            raise NotMeasured(self.failed.get(f"{case}/{contender}", "not part of this run"))
        return float(max(found))

    def fact(self, case: str, contender: str, name: str) -> float:
        """What a contender said of itself when it had loaded.

        Raises:
            NotMeasured: it did not load.
        """
        key = f"{case}/{contender}"
        if key not in self.loaded:
            raise NotMeasured(self.failed.get(key, "not part of this run"))
        return float(self.loaded[key]["facts"][name])

    def probe(self, probe: str, name: str) -> float:
        """What a probe found.

        Raises:
            NotMeasured: it did not run to its end.
        """
        if probe not in self.probes:
            raise NotMeasured(self.failed.get(f"{probe}/fettle", "not part of this run"))
        return float(self.probes[probe][name])

    @property
    def keys(self) -> list[Key]:
        """Everything that was measured, in its order."""
        return list(dict.fromkeys(run.key for run in self.runs))

    def share_equal(self, key: Key) -> float | None:
        """The share of tokens that a contender gave as Fettle did, up to where each answer first differs."""
        case, contender, on, concurrency = key
        ours = {at: rows for (of, at), rows in self._answers.items() if of == (case, "fettle", on, concurrency)}
        theirs = {at: rows for (of, at), rows in self._answers.items() if of == key}
        pairs = [pair for at in ours.keys() & theirs for pair in zip(ours[at], theirs[at], strict=True)]
        same = sum(_num_equal(*pair) for pair in pairs)
        return same / sum(len(one) for one, _ in pairs) if pairs and contender != "fettle" else None

    def plain(self) -> dict[str, Any]:
        """For the result file."""
        shares = [{"of": key, "share_of_equal_tokens": self.share_equal(key)} for key in self.keys]
        told = {"loaded": self.loaded, "probes": self.probes, "not_measured": self.failed}
        return told | {"equal": shares, "runs": [asdict(run) for run in self.runs]}


def _num_equal(one: list[int], other: list[int]) -> int:
    pairs = list(zip(one, other, strict=True))
    return next((place for place, (a, b) in enumerate(pairs) if a != b), len(pairs))
