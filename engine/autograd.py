"""Gradients: the history of tensors, the switch that records it, and the walk back through it.

Nothing here knows an operator: a Node holds a primitive and what its rule asked to keep.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from .dtype import Array
from .errors import GradientError
from .ops.primitive import Primitive

if TYPE_CHECKING:
    from .tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R")
Hook = Callable[[Array], Array | None]
_NUMBERS = itertools.count()


class _Mode(threading.local):
    enabled = True


_MODE = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations record history in this thread."""
    return _MODE.enabled


class _GradMode:
    """A switch for a `with` block or, as a decorator, for every call of a function."""

    enabled: bool

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def switched(*args: P.args, **kwargs: P.kwargs) -> R:
            with type(self)():
                return function(*args, **kwargs)

        return switched

    def __enter__(self) -> None:
        self._before = _MODE.enabled
        _MODE.enabled = self.enabled

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _MODE.enabled = self._before


class no_grad(_GradMode):
    """Record no history inside. Source: torch.no_grad."""

    enabled = False


class inference_mode(_GradMode):
    """As no_grad; `inference_mode(False)` records. Source: torch.inference_mode."""

    def __init__(self, mode: bool = True) -> None:
        self.enabled = not mode

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, switched at every call."""
        with_mode = functools.partial(inference_mode, not self.enabled)

        @functools.wraps(function)
        def switched(*args: P.args, **kwargs: P.kwargs) -> R:
            with with_mode():
                return function(*args, **kwargs)

        return switched


class enable_grad(_GradMode):
    """Record history inside, even within no_grad. Source: torch.enable_grad."""

    enabled = True


class set_grad_enabled(_GradMode):
    """Switch recording from here on; as a context manager, until its end. Source: torch.set_grad_enabled."""

    def __init__(self, mode: bool) -> None:
        self.enabled = mode
        self._before = _MODE.enabled
        _MODE.enabled = mode

    def __enter__(self) -> None:
        _MODE.enabled = self.enabled


class Edge:
    """Where a gradient goes on to: an output of an earlier operation, or a leaf. It knows the shape it must have."""

    __slots__ = ("dtype", "index", "leaf", "node", "shape")

    def __init__(self, tensor: Tensor) -> None:
        self.node: Node | None = tensor.node
        self.index = tensor.index
        self.leaf = tensor if tensor.node is None else None
        self.shape = tensor.array.shape
        self.dtype = tensor.array.dtype

    def fit(self, share: Array) -> Array:
        """A gradient summed over the dims that broadcasting made, in the dtype of the tensor itself."""
        if share.shape != self.shape:
            extra = share.ndim - len(self.shape)
            stretched = tuple(i + extra for i, n in enumerate(self.shape) if n == 1 and share.shape[i + extra] != 1)
            share = share.sum(axis=(*range(extra), *stretched), keepdims=True).reshape(self.shape)
        if share.dtype.kind == "c" and self.dtype.kind == "f":
            share = np.real(share)
        return np.asarray(share, self.dtype)


class Node:
    """One recorded operation: where its operands came from and what its rule needs of them."""

    __slots__ = ("attributes", "count", "edges", "hooks", "kept", "number", "output", "primitive", "shapes", "versions")

    def __init__(
        self, primitive: Primitive, operands: tuple[Any, ...], attributes: dict[str, Any], outputs: tuple[Tensor, ...]
    ) -> None:
        self.primitive = primitive
        self.attributes = attributes
        self.number = next(_NUMBERS)
        self.edges = tuple(Edge(o) if getattr(o, "requires_grad", False) else None for o in operands)
        self.count = len(outputs)
        self.hooks: list[tuple[int, Hook]] = []
        self.shapes = tuple(np.shape(getattr(o, "array", o)) for o in operands) if primitive.told_shapes else ()
        kept = [o if self._keeps(i) else None for i, o in enumerate(operands)]
        kept_outputs = outputs if primitive.keeps(-1) else ()
        self.kept: tuple[Any, ...] | None = tuple(getattr(o, "array", o) for o in kept)
        arrays = tuple(o.array for o in kept_outputs)
        self.output: Any = arrays[0] if len(arrays) == 1 else arrays or None
        boxes = [getattr(o, "version", None) for o in (*kept, *kept_outputs)]
        self.versions = tuple((box, box[0]) for box in boxes if box is not None)

    def _keeps(self, index: int) -> bool:
        """Whether the rule will use input `index`."""
        if self.primitive.crossed and self.edges[1 - index] is None:
            return False
        return self.primitive.keeps(index)

    def __repr__(self) -> str:
        return f"<{self.primitive.name} backward>"

    def detach_from(self, array: Array, version: list[int]) -> None:
        """Keep a copy of an array, in place of itself, that is about to change."""
        if self.kept is not None and any(k is array for k in self.kept):
            self.kept = tuple(k.copy() if k is array else k for k in self.kept)
            self.versions = tuple(pair for pair in self.versions if pair[0] is not version)

    def pull_back(self, gradients: list[Array | None]) -> tuple[Array | None, ...]:
        """The gradients of the inputs from those of the outputs."""
        if self.kept is None:
            raise GradientError(
                f"the history of {self.primitive.name} was freed by an earlier backward(); "
                "pass retain_graph=True to that one to walk back twice"
            )
        for version, then in self.versions:
            if version[0] != then:
                raise GradientError(
                    f"{self.primitive.name}: a tensor that its gradient needs was changed in place afterwards; "
                    "use the out-of-place form of that operation"
                )
        rule = self.primitive.rule
        assert rule is not None, "only differentiable primitives are recorded"
        told: dict[str, Any] = {}
        if self.primitive.told_needs:
            told["needs"] = tuple(edge is not None for edge in self.edges)
        if self.primitive.told_shapes:
            told["shapes"] = self.shapes
        g = gradients[0] if self.count == 1 else tuple(gradients)
        return rule(g, self.output, *self.kept, **self.attributes, **told)

    def watched(self, gradients: list[Array | None]) -> list[Array | None]:
        """The gradients of the outputs after the hooks on them have seen, and perhaps replaced, them."""
        for index, hook in self.hooks:
            there = gradients[index]
            if there is not None and (replaced := hook(there)) is not None:
                gradients[index] = replaced
        return gradients

    def free(self) -> None:
        """Forget what was kept for the rule."""
        self.kept = self.output = None


class _Walk:
    """A walk back through history: gradients wait at each node until all later ones have added theirs."""

    def __init__(self, into_leaf: Callable[[Tensor, Array], None]) -> None:
        self._into_leaf = into_leaf
        self._pending: dict[int, list[Array | None]] = {}
        self._latest: list[tuple[int, Node]] = []

    def add(self, edge: Edge, share: Array) -> None:
        """Add a share to what waits at the end of an edge."""
        share = edge.fit(share)
        if edge.node is None:
            assert edge.leaf is not None
            self._into_leaf(edge.leaf, share)
            return
        node = edge.node
        if node.number not in self._pending:
            self._pending[node.number] = [None] * node.count
            heapq.heappush(self._latest, (-node.number, node))
        slots = self._pending[node.number]
        there = slots[edge.index]
        slots[edge.index] = share if there is None else there + share

    def run(self, retain_graph: bool) -> None:
        """Visit the nodes, later ones first, so that each has its whole gradient when its turn comes."""
        while self._latest:
            number, node = heapq.heappop(self._latest)
            gradients = node.watched(self._pending.pop(-number))
            for edge, share in zip(node.edges, node.pull_back(gradients), strict=True):
                if edge is not None and share is not None:
                    self.add(edge, share)
            if not retain_graph:
                node.free()


def backward(
    root: Tensor,
    gradient: Array,
    retain_graph: bool = False,
    into_leaf: Callable[[Tensor, Array], None] = lambda leaf, share: leaf.accumulate(share),
) -> None:
    """Add to `.grad` of every leaf behind `root` its share of `gradient` (of root's shape)."""
    if not root.requires_grad:
        raise GradientError(
            "this tensor has no history: nothing behind it requires a gradient, or it was made under no_grad"
        )
    walk = _Walk(into_leaf)
    with np.errstate(all="ignore"):
        walk.add(Edge(root), gradient)
        walk.run(retain_graph)
