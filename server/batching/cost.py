"""BatchCost: what a batch takes, learnt while batches are answered: a part for itself, a part for each request."""

from __future__ import annotations

RECENT = 0.2
"""Weight of the last batch in what those of its size take."""
FADING = 0.99
"""What is left of the weight of a size with each batch of another size."""
FORGETTING = 0.5
"""The same, with each batch that takes twice as long as expected, or half as long."""
FORGOTTEN = 0.01
"""The weight below which a size is forgotten: so it is tried again, should it have looked worse than it is."""
OUTLIER = 3.0
"""Times what batches of a size take: one that takes longer counts as if it had taken that long."""
OFTEN = 3
"""Such batches in a row, after which what was known of the size is forgotten."""


class _Size:
    """Batches of about one size: how many requests they have, and seconds they take, on average."""

    __slots__ = ("met", "rows", "seconds", "slow", "weight")

    def __init__(self) -> None:
        self.met, self.slow, self.weight = 0, 0, 0.0
        self.rows = self.seconds = 0.0

    def note(self, rows: int, seconds: float) -> None:
        self.slow = self.slow + 1 if seconds > OUTLIER * self.seconds else 0
        if self.met < 2 or self.slow >= OFTEN:  # the first of a size makes plans that the others find: it never counts
            self.rows, self.seconds = rows, seconds
        else:
            self.rows += RECENT * (rows - self.rows)
            self.seconds += RECENT * (min(seconds, OUTLIER * self.seconds) - self.seconds)
        self.met += 1
        self.weight = 1.0


class BatchCost:
    """A batch of n requests takes `start` + `each` · n seconds.

    Batches of about one size (1, 2, 3-4, 5-8, …) count together, and all sizes alike but for how long ago they were
    met: so small batches are remembered while there are large ones only, as a line cannot be drawn through one point.
    """

    def __init__(self) -> None:
        """Know nothing: a batch takes no time."""
        self.start = self.each = 0.0
        self._sizes: dict[int, _Size] = {}

    def __call__(self, rows: int) -> float:
        """The seconds that a batch of so many requests takes, as far as is known."""
        return self.start + self.each * rows

    @property
    def known(self) -> bool:
        """Whether batches of more than one size were met: else what they cost is a guess."""
        return sum(size.met > 1 for size in self._sizes.values()) > 1

    @property
    def largest(self) -> float:
        """The largest batch of which what it costs is known."""
        return max((size.rows for size in self._sizes.values() if size.met > 1), default=1)

    def note(self, rows: int, seconds: float) -> None:
        """Learn from a batch."""
        seconds, expected = max(seconds, 1e-9), self(rows)
        fading = FADING if expected < 2 * seconds < 4 * expected else FORGETTING
        for place, size in [*self._sizes.items()]:
            size.weight *= fading
            if size.weight < FORGOTTEN:
                del self._sizes[place]
        self._sizes.setdefault((rows - 1).bit_length(), _Size()).note(rows, seconds)
        self.start, self.each = self._line()

    def _line(self) -> tuple[float, float]:
        """The line of least squares of what it is wrong by, relative to what was measured; neither part below 0."""
        total = by_rows = by_rows_twice = by_seconds = by_both = 0.0
        certain = [size for size in self._sizes.values() if size.met > 1]
        for size in certain or self._sizes.values():
            weight = size.weight / (size.seconds * size.seconds)
            total += weight
            by_rows += weight * size.rows
            by_rows_twice += weight * size.rows * size.rows
            by_seconds += weight * size.seconds
            by_both += weight * size.rows * size.seconds
        spread = total * by_rows_twice - by_rows * by_rows
        if spread <= 1e-9 * by_rows_twice * total:  # one size: starting may take as long as a request
            each = by_seconds / (total + by_rows)
            return each, each
        each = (total * by_both - by_rows * by_seconds) / spread
        start = (by_seconds - each * by_rows) / total
        if start < 0:
            return 0.0, by_both / by_rows_twice
        return (start, each) if each > 0 else (by_seconds / total, 0.0)
