"""Which programs a batch is run by: cut into batches that there are programs for, the last one filled up if need be.

A program is for one size of batch, and takes time and memory to make. So programs are made for powers of two, and for
sizes that were asked for; a stream of any sizes then needs few of them. Whether a batch of 7 is better run as 8 or as
4, 2 and 1 is a matter of the model: convolutions take as long as there are images, while a few linear layers take
their weights' way out of memory, whatever the batch. So what a run costs is measured as it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

WORTH = 1.1  # times the least cost: a program that spares less is not worth being made
ENOUGH = 1.5  # the same, where another one must be let go for it

Cost = Callable[[int], float]


class Costs:
    """What running a program takes, by its size: the least time met, or an estimate from those of other sizes."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._warm: set[int] = set()

    def note(self, size: int, seconds: float) -> None:
        """Remember a run; the first of a size does not count, as its memory is new."""
        if size in self._warm:
            self._seconds[size] = min(seconds, self._seconds.get(size, seconds))
        self._warm.add(size)

    def __call__(self, size: int) -> float:
        """Seconds, or as long as nothing has run, in rows of which a run costs one."""
        if size in self._seconds:
            return self._seconds[size]
        start, each = self._line()
        return start + each * size

    def _line(self) -> tuple[float, float]:
        """What a run costs beside its rows, and what each row costs."""
        if not self._seconds:
            return 1.0, 1.0
        small, large = min(self._seconds), max(self._seconds)
        if small == large:
            each = self._seconds[small] / (small + 1)
            return each, each
        each = max(0.0, (self._seconds[large] - self._seconds[small]) / (large - small))
        return max(0.0, self._seconds[small] - each * small), each


def powers_of_two(most: int) -> Iterator[int]:
    """1, 2, 4, … up to `most`."""
    size = 1
    while size <= most:
        yield size
        size *= 2


def cover(batch: int, sizes: Iterable[int], cost: Cost) -> list[int]:
    """The cheapest sizes that hold a batch, largest first; only the last may have rows to spare."""
    ordered = sorted(sizes)
    over = [size for size in ordered if size >= batch]
    under = [size for size in ordered if size < batch]
    ways = [over[:1]] if over else []
    if under:
        count, rest = divmod(batch, under[-1])
        ways.append([under[-1]] * count + (cover(rest, ordered, cost) if rest else []))
    return min(ways, key=lambda way: total(way, cost))


def total(sizes: Sequence[int], cost: Cost) -> float:
    """What running programs of these sizes costs."""
    return sum(map(cost, sizes))


def choose(batch: int, there: Collection[int], possible: Collection[int], room: bool, cost: Cost) -> list[int]:
    """How to run a batch: by programs that are `there`, or also by new ones where that is worth it.

    While there is room, a size that may have a program gets it: what it costs is known better then.
    """
    if batch in there or (room and batch in possible):
        return [batch]
    best = cover(batch, {*there, *possible}, cost)
    if not there:
        return best
    known = cover(batch, there, cost)
    return best if total(known, cost) > total(best, cost) * (WORTH if room else ENOUGH) else known
