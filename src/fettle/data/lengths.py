"""How long rows are: exact, in memory that depends on the longest row and not on their number."""

from collections import Counter

from fettle.types.data import TokenLengths


class Lengths:
    """Counts of lengths."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._learned = 0

    def add(self, length: int, num_learned: int) -> None:
        """Take in a row of `length` tokens, of which `num_learned` are learned."""
        self._counts[length] += 1
        self._learned += num_learned

    def summary(self) -> TokenLengths | None:
        """What there is to say about them; None if there are none."""
        if not self._counts:
            return None
        total = sum(length * count for length, count in self._counts.items())
        return TokenLengths(
            shortest=min(self._counts),
            mean=total / self._counts.total(),
            median=self._percentile(50),
            p95=self._percentile(95),
            longest=max(self._counts),
            total=total,
            learned=self._learned,
        )

    def _percentile(self, percent: int) -> int:
        """The smallest length that at least `percent` of the rows do not exceed."""
        seen, needed = 0, self._counts.total() * percent
        for length in sorted(self._counts):
            seen += self._counts[length]
            if seen * 100 >= needed:
                return length
        raise AssertionError("the last length covers all rows")
