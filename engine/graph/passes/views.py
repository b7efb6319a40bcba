"""View, a chain of reshapes and permutes as what it does in the end: the source's dims split, ordered, and merged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..ir import Extent, Node, Shape, Size, Value


class Factors(NamedTuple):
    """A size as a number times a power of the batch."""

    number: int
    batch: int = 0

    @property
    def size(self) -> Size:
        """The size that this is; None of these is more than linear in the batch."""
        return Extent(self.number) if self.batch else self.number

    def over(self, other: Factors) -> Factors | None:
        """The quotient where it is whole for every batch."""
        if self.number % other.number or self.batch < other.batch:
            return None
        return Factors(self.number // other.number, self.batch - other.batch)


ONE = Factors(1)


def factors_of(size: Size) -> Factors | None:
    """The factors of a size; None where it is 0, or a batch plus something."""
    if isinstance(size, Extent):
        return Factors(size.a, 1) if not size.b else None
    return Factors(size) if size > 0 else None


@dataclass(frozen=True, eq=False, slots=True)
class Atom:
    """A dim of the source, or a factor of one; no two are the same."""

    factors: Factors


Atoms = tuple[Atom, ...]


@dataclass(frozen=True, eq=False)
class View:
    """The atoms of each dim of the source, and of what is seen of it; `chosen` are those seen at one place alone."""

    source: Value
    atoms: tuple[Atoms, ...]
    dims: tuple[Atoms, ...]
    chosen: dict[Atom, int] = field(default_factory=dict)

    @classmethod
    def whole(cls, value: Value) -> View | None:
        """A value seen as it is; None where its sizes cannot be reckoned with."""
        sizes = [factors_of(size) for size in value.shape]
        if any(size is None for size in sizes):
            return None
        dims = tuple((Atom(size),) if size != ONE else () for size in sizes if size is not None)
        return cls(value, dims, dims)

    @property
    def order(self) -> Atoms:
        """The atoms in the order in which they are seen."""
        return tuple(atom for dim in self.dims for atom in dim)

    @property
    def shape(self) -> Shape:
        """What is seen has this shape."""
        return tuple(_size(dim) for dim in self.dims)

    @property
    def is_whole(self) -> bool:
        """Whether it is the source as it is."""
        return self.dims == self.atoms and not self.chosen

    def in_source(self, some: Iterable[Atom]) -> Atoms:
        """Atoms in the order in which the source has them."""
        wanted = set(some)
        return tuple(atom for dim in self.atoms for atom in dim if atom in wanted)

    def of(self, source: Value, atoms: tuple[Atoms, ...]) -> View:
        """The same of another source."""
        return View(source, atoms, self.dims)

    def signature(self) -> tuple[tuple[tuple[int, Factors], ...], ...]:
        """What two views agree in that do the same to sources of one shape."""
        places = {atom: number for number, atom in enumerate(self.in_source(self.order))}
        return tuple(tuple((places[a], a.factors) for a in dim) for dim in self.dims)

    def through(self, node: Node) -> View | None:
        """What a node of this view gives, where that is a view of the same source."""
        if node.op == "permute":
            dims = [d % len(self.dims) for d in node.attributes["dims"]]
            return replace(self, dims=tuple(self.dims[d] for d in dims))
        if node.op == "reshape":
            return self._reshaped(node.output.shape)
        return self._part(node.attributes["index"]) if node.op == "getitem" else None

    def _reshaped(self, shape: Shape) -> View | None:
        atoms, dims, left = [list(a) for a in self.atoms], [], list(self.order)
        for size in shape:
            wanted, group = factors_of(size), list[Atom]()
            while wanted != ONE:
                if wanted is None or not left:
                    return None
                atom = left.pop(0)
                if (rest := wanted.over(atom.factors)) is not None:
                    group.append(atom)
                    wanted = rest
                elif (rest := atom.factors.over(wanted)) is not None:
                    outer, inner = Atom(wanted), Atom(rest)
                    _put(atoms, atom, outer, inner)
                    group.append(outer)
                    left.insert(0, inner)
                    wanted = ONE
                else:
                    return None
            dims.append(tuple(group))
        return None if left else replace(self, atoms=tuple(map(tuple, atoms)), dims=tuple(dims))

    def _part(self, index: Sequence[int | slice | None]) -> View | None:
        """One place along some dims, all of the others."""
        dims, chosen, left = list[Atoms](), dict(self.chosen), list(self.dims)
        for item in index:
            if item is None:
                dims.append(())
                continue
            dim = left.pop(0)
            if item == slice(None):
                dims.append(dim)
            elif isinstance(item, int) and len(dim) == 1 and not dim[0].factors.batch:
                chosen[dim[0]] = item % dim[0].factors.number
            elif not isinstance(item, int) or dim:
                return None
        return replace(self, dims=(*dims, *left), chosen=chosen)


def _put(atoms: list[list[Atom]], old: Atom, *new: Atom) -> None:
    for dim in atoms:
        if old in dim:
            place = dim.index(old)
            dim[place : place + 1] = new


def _size(dim: Atoms) -> Size:
    number = math.prod(atom.factors.number for atom in dim)
    return Extent(number) if any(atom.factors.batch for atom in dim) else number
