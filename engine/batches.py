"""Which programs a batch is run by: cut into batches that there are programs for, the last one filled up if need be.

A program is for one size of batch, and takes time and memory to make. So programs are made for powers of two, and for
sizes that were asked for; a stream of any sizes then needs few of them, and what it costs is at most one run more, or
some rows computed for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

RUN = 1  # what a further run costs, in rows
ENOUGH = 1.5  # times the least cost: not worth another program, once there are as many as are kept


def powers_of_two(most: int) -> Iterator[int]:
    """1, 2, 4, … up to `most`."""
    size = 1
    while size <= most:
        yield size
        size *= 2


def cover(batch: int, sizes: Iterable[int]) -> list[int]:
    """The cheapest sizes that hold a batch, largest first; only the last may have rows to spare."""
    ordered = sorted(sizes)
    over = [size for size in ordered if size >= batch]
    under = [size for size in ordered if size < batch]
    ways = [over[:1]] if over else []
    if under:
        count, rest = divmod(batch, under[-1])
        ways.append([under[-1]] * count + (cover(rest, ordered) if rest else []))
    return min(ways, key=cost)


def cost(sizes: Sequence[int]) -> int:
    """Of running a batch this way, in rows."""
    return sum(size + RUN for size in sizes)


def choose(batch: int, there: Collection[int], possible: Collection[int], room: bool) -> list[int]:
    """How to run a batch: by programs that are `there`, or also by new ones where there is room, or much to gain."""
    best = cover(batch, {*there, *possible})
    if not there:
        return best
    known = cover(batch, there)
    return best if cost(best) < (cost(known) if room else cost(known) / ENOUGH) else known
