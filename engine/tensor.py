"""Tensor, an array with its history, and apply(), the one door that every operation passes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np

from . import autograd
from .device import CPU, device
from .dtype import Array, DType, of
from .errors import DtypeError, EngineError, GradientError, ShapeError
from .methods.comparison import ComparisonMethods
from .methods.conversion import ConversionMethods
from .methods.elementwise import ElementwiseMethods
from .methods.indexing import IndexingMethods
from .methods.matmul import MatmulMethods
from .methods.random import RandomMethods
from .methods.reduction import ReductionMethods
from .methods.shape import ShapeMethods
from .methods.sorting import SortingMethods
from .ops.primitive import Primitive
from .ops.shape import place
from .tracing import TRACING


class View(NamedTuple):
    """How a tensor that shares another one's memory came from it."""

    base: Tensor
    primitive: Primitive
    attributes: dict[str, Any]


class Tensor(
    ElementwiseMethods,
    ComparisonMethods,
    ReductionMethods,
    ShapeMethods,
    IndexingMethods,
    SortingMethods,
    MatmulMethods,
    ConversionMethods,
    RandomMethods,
):
    """An n-dimensional array of one dtype that can remember how it was computed.

    `array` is the NumPy array itself: views share memory with it, and what is done in place shows in all of them.
    """

    __array_priority__ = 1000  # so that ndarray + Tensor is a Tensor's business

    requires_grad = False
    grad: Tensor | None = None
    node: autograd.Node | None = None
    index = 0  # which of the node's outputs this is
    viewed: View | None = None
    seen = 0  # the version of the memory at which `node` was right, for a view

    def __init__(self, array: Any, requires_grad: bool = False) -> None:
        self.array: Array = np.asarray(array)
        self.version = [0]  # one for all that share the memory; every change in place counts
        if requires_grad:
            self.requires_grad_()

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return of(self.array)

    @property
    def data(self) -> Tensor:
        """The same memory without history."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        self.array = value.array

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        return self.node is None

    def numpy(self) -> Array:
        """The array itself, sharing memory."""
        if self.requires_grad:
            raise GradientError("a tensor that requires a gradient has no plain array; use .detach().numpy()")
        return self._told("numpy()").array

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        return self._told("tolist()").array.tolist()

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.array.size != 1:
            raise ShapeError(f"item: a tensor of shape {self.array.shape} has {self.array.size} elements; expected one")
        return self._told("item()").array.item()

    def _told(self, how: str) -> Tensor:
        """The tensor itself, after telling who watches that its values are read."""
        if TRACING.watcher is not None:
            TRACING.watcher.read(self, how)
        return self

    def detach(self) -> Tensor:
        """The same memory without history."""
        alias = Tensor(self.array)
        alias.version = self.version
        return alias

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient, or stop asking; only leaves of a floating dtype can."""
        if not self.is_leaf and not requires_grad:
            raise GradientError("only a leaf can stop requiring a gradient; use .detach()")
        if requires_grad and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise GradientError(f"only floating point tensors have gradients; this one is {self.dtype.name}")
        self.requires_grad = requires_grad
        return self

    def retain_grad(self) -> None:
        """Keep `.grad` although an operation made this tensor."""
        if not self.requires_grad:
            raise GradientError("retain_grad: this tensor does not require a gradient")
        if self.node is not None:
            keeper = weakref.ref(self)

            def keep(share: Array) -> None:
                if (tensor := keeper()) is not None:
                    tensor.accumulate(share)

            self.node.hooks.append((self.index, keep))

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> None:
        """Show this tensor's gradient to a function, which may replace it; for results of operations, not leaves."""
        if self.node is None:
            raise GradientError("register_hook: only tensors that an operation made pass their gradient on; read .grad")

        def show(share: Array) -> Array | None:
            replaced = hook(Tensor(share))
            return None if replaced is None else replaced.array

        self.node.hooks.append((self.index, show))

    def backward(self, gradient: Tensor | None = None, retain_graph: bool = False) -> None:
        """Add this tensor's gradient to `.grad` of every leaf behind it; a single element needs no `gradient`."""
        if gradient is None and self.array.size != 1:
            raise GradientError(f"backward: shape {self.array.shape} needs a gradient of that shape; a scalar does not")
        start = np.ones_like(self.array) if gradient is None else gradient.array
        if start.shape != self.array.shape:
            raise ShapeError(f"backward: the gradient's shape {start.shape} is not the tensor's {self.array.shape}")
        _catch_up(self)
        autograd.backward(self, start, retain_graph)

    def accumulate(self, share: Array) -> None:
        """Add to `.grad`."""
        self.grad = Tensor(share.copy() if self.grad is None else self.grad.array + share)

    @property
    def grad_fn(self) -> autograd.Node | None:
        """The recorded operation that made it."""
        return self.node

    @property
    def device(self) -> device:
        """Where it is: on the CPU."""
        return CPU

    def _apply(self, primitive: Primitive, *operands: Any, **attributes: Any) -> Tensor:
        return cast(Tensor, apply(primitive, self, *operands, **attributes))

    def _reflect(self, primitive: Primitive, other: Any) -> Tensor:
        return cast(Tensor, apply(primitive, other, self))

    def _plain(self, array: Any) -> Tensor:
        return Tensor(array)

    def _apply_many(self, primitive: Primitive, *operands: Any, **attributes: Any) -> tuple[Tensor, ...]:
        return cast(tuple[Tensor, ...], apply(primitive, self, *operands, **attributes))

    def _records(self, *others: Any) -> bool:
        return TRACING.watcher is not None or (autograd.is_grad_enabled() and _wants_gradient((self, *others)))

    def _before(self) -> Tensor:
        """This tensor as it is now, so that an in-place operation can have it as its operand."""
        if TRACING.watcher is not None:
            TRACING.watcher.changing(self)
        if not self.array.flags.writeable:
            raise EngineError(
                "this memory cannot be changed: it is read-only or one element stands for many; .clone() it"
            )
        if self.requires_grad and self.is_leaf and autograd.is_grad_enabled():
            raise GradientError("a leaf that requires a gradient cannot be changed in place; do it under no_grad()")
        _catch_up(self)
        alias = self.detach()
        alias.requires_grad, alias.node, alias.index = self.requires_grad, self.node, self.index
        return alias

    def _become(self, result: Tensor) -> Tensor:
        """Take a result's values into this memory, and its history."""
        if result.array.shape != self.array.shape:
            raise ShapeError(f"in place: the result's shape {result.array.shape} is not {self.array.shape}")
        if result.dtype.category > self.dtype.category:
            raise DtypeError(f"in place: a result of {result.dtype.name} cannot be kept in {self.dtype.name}")
        if autograd.is_grad_enabled():
            if result.node is not None:
                result.node.detach_from(self.array, self.version)
            self._take_history(result)
        np.copyto(self.array, result.array, casting="unsafe")
        self._changed()
        if TRACING.watcher is not None:
            TRACING.watcher.became(self, result)
        return self

    def _take_history(self, result: Tensor) -> None:
        """Continue from a result's history, and let what this tensor is a view of continue from it too."""
        if self.viewed is not None and (result.requires_grad or self.viewed.base.requires_grad):
            base, primitive, attributes = self.viewed
            placed = apply(place, base._before(), result, view=primitive, how=attributes)
            base._take_history(cast(Tensor, placed))
        self.requires_grad, self.node, self.index = result.requires_grad, result.node, result.index

    def _changed(self) -> None:
        """Count a change of the memory, after which the history of this tensor and of what it views is right."""
        self.version[0] += 1
        here: Tensor | None = self
        while here is not None:
            here.seen = self.version[0]
            here = here.viewed.base if here.viewed is not None else None

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        if not self.array.ndim:
            raise TypeError("a 0-d tensor has no len()")
        return len(self.array)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        if self.dtype.is_floating_point:
            raise DtypeError(f"only integer tensors can be an index; this one is {self.dtype.name}")
        return int(self.item())

    def __contains__(self, value: Any) -> bool:
        return bool((self.array == (value.array if isinstance(value, Tensor) else value)).any())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        return array.astype(dtype) if copy or (dtype is not None and array.dtype != dtype) else array

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError("only leaves can be deep-copied; use .detach() first")
        copy = type(self)(self.array.copy(), self.requires_grad)
        memo[id(self)] = copy
        return copy

    def __reduce__(self) -> NoReturn:
        raise TypeError("tensors are not pickled; use numserve.engine.save()")

    def __repr__(self) -> str:
        whole = self.array.dtype.kind != "f" or not np.any(
            np.isfinite(self.array) & (self.array != np.rint(self.array))
        )
        body = np.array2string(
            self.array, precision=4, separator=", ", prefix="tensor(", floatmode="maxprec" if whole else "fixed"
        )
        notes = "" if self.array.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype!r}"
        if self.node is not None:
            notes += f", grad_fn={self.node!r}"
        elif self.requires_grad:
            notes += ", requires_grad=True"
        return f"tensor({body}{notes})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self.item()) if not self.array.ndim else repr(self)


def apply(primitive: Primitive, *operands: Any, **attributes: Any) -> Tensor | tuple[Tensor, ...]:
    """Run a primitive on tensors (or arrays and numbers) and record it where a gradient will be wanted.

    Gives a tensor, or a tuple of tensors where the primitive has several outputs.
    """
    watcher = TRACING.watcher
    if watcher is None:
        result = primitive.run(*[o.array if isinstance(o, Tensor) else o for o in operands], **attributes)
    else:
        result = watcher.run(primitive, operands, attributes)
    several = type(result) is tuple
    outputs = tuple(map(Tensor, result)) if several else (Tensor(result),)
    recording = autograd.is_grad_enabled()
    for output in outputs:
        if output.array.base is not None or output.array is getattr(operands[0], "array", None):
            _link(output, operands, primitive, attributes)
    if watcher is not None:
        watcher.ran(primitive, operands, attributes, outputs)
    if recording and primitive.rule is not None and _wants_gradient(operands):
        node = autograd.Node(primitive, operands, attributes, outputs)
        for index, output in enumerate(outputs):
            if output.array.dtype.kind in "fc":
                output.requires_grad, output.node, output.index = True, node, index
    return outputs if several else outputs[0]


def _wants_gradient(operands: Sequence[Any]) -> bool:
    wants = False
    for operand in operands:
        if isinstance(operand, Tensor):
            if operand.viewed is not None:
                _catch_up(operand)
            wants = wants or operand.requires_grad
    return wants


def _catch_up(tensor: Tensor) -> None:
    """Bring the history of a view up to date with changes of its memory made through others."""
    if tensor.viewed is not None and tensor.seen != tensor.version[0]:
        base, primitive, attributes = tensor.viewed
        now = cast(Tensor, apply(primitive, base, **attributes))
        tensor.requires_grad, tensor.node, tensor.index = now.requires_grad, now.node, now.index
        tensor.seen = tensor.version[0]


def _link(output: Tensor, operands: Sequence[Any], primitive: Primitive, attributes: dict[str, Any]) -> None:
    """Make an output that shares an operand's memory share its version, and know it as its base."""
    for operand in operands:
        if isinstance(operand, Tensor) and _shares(output.array, operand.array):
            output.version = operand.version
            if autograd.is_grad_enabled():
                output.viewed, output.seen = View(operand, primitive, attributes), output.version[0]
            return


def _shares(array: Array, other: Array) -> bool:
    base = array.base
    return array is other or (base is not None and (base is other or base is other.base))
