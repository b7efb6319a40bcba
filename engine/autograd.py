"""Gradients: the history of tensors, the switch that records it, and the walk back through it.

Nothing here knows an operator: a Node holds a primitive and what its rule asked to keep.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
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


class Node:
    """One recorded operation: where its operands came from and what its rule needs of them."""

    __slots__ = ("attributes", "count", "inputs", "kept", "output", "primitive", "versions")

    def __init__(
        self, primitive: Primitive, operands: tuple[Any, ...], attributes: dict[str, Any], outputs: tuple[Tensor, ...]
    ) -> None:
        self.primitive = primitive
        self.attributes = attributes
        self.inputs: tuple[Tensor | None, ...] = tuple(
            o if getattr(o, "requires_grad", False) else None for o in operands
        )
        self.count = len(outputs)
        kept = [o if primitive.keeps(i) else None for i, o in enumerate(operands)]
        kept_outputs = outputs if primitive.keeps(-1) else ()
        self.kept: tuple[Any, ...] | None = tuple(getattr(o, "array", o) for o in kept)
        arrays = tuple(o.array for o in kept_outputs)
        self.output: Any = arrays[0] if len(arrays) == 1 else arrays or None
        boxes = [getattr(o, "version", None) for o in (*kept, *kept_outputs)]
        self.versions = tuple((box, box[0]) for box in boxes if box is not None)

    def __repr__(self) -> str:
        return f"<{self.primitive.name} backward>"

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
        needs = {"needs": tuple(i is not None for i in self.inputs)} if self.primitive.told_needs else {}
        g = gradients[0] if self.count == 1 else tuple(gradients)
        return rule(g, self.output, *self.kept, **self.attributes, **needs)

    def free(self) -> None:
        """Forget what was kept for the rule."""
        self.kept = self.output = None


def backward(root: Tensor, gradient: Array, retain_graph: bool = False) -> None:
    """Add to `.grad` of every leaf behind `root` its share of `gradient` (of root's shape)."""
    if not root.requires_grad:
        raise GradientError(
            "this tensor has no history: nothing behind it requires a gradient, or it was made under no_grad"
        )
    pending: dict[int, list[Array | None]] = {}
    _collect(root, gradient, pending)
    for node in _latest_first(root.node):
        gradients = pending.pop(id(node), None)
        if gradients is None:
            continue
        for tensor, share in zip(node.inputs, node.pull_back(gradients), strict=True):
            if tensor is not None and share is not None:
                _collect(tensor, share, pending)
        if not retain_graph:
            node.free()


def _collect(tensor: Tensor, share: Array, pending: dict[int, list[Array | None]]) -> None:
    """Add a share to a leaf's gradient, or to what waits for the node a tensor came from."""
    share = _fitted(share, tensor.array)
    if tensor.node is None or tensor.retains_grad:
        tensor.accumulate(share)
    if tensor.node is not None:
        slots = pending.setdefault(id(tensor.node), [None] * tensor.node.count)
        there = slots[tensor.index]
        slots[tensor.index] = share if there is None else there + share


def _fitted(share: Array, like: Array) -> Array:
    """Summed over the dims that broadcasting made, in the dtype of the tensor itself."""
    if share.shape != like.shape:
        extra = share.ndim - like.ndim
        stretched = tuple(i + extra for i, n in enumerate(like.shape) if n == 1 and share.shape[i + extra] != 1)
        share = share.sum(axis=(*range(extra), *stretched), keepdims=True).reshape(like.shape)
    return np.asarray(share, like.dtype)


def _latest_first(node: Node | None) -> Iterator[Node]:
    """The nodes behind `node`, each after all that use it."""
    order: list[Node] = []
    seen: set[int] = set()
    todo: list[tuple[Node | None, bool]] = [(node, False)]
    while todo:
        here, ready = todo.pop()
        if here is None:
            continue
        if ready:
            order.append(here)
        elif id(here) not in seen:
            seen.add(id(here))
            todo.append((here, True))
            todo.extend((t.node, False) for t in here.inputs if t is not None)
    return reversed(order)
