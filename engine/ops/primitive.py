"""Primitive, an operator with its kernel and gradient rule, and PRIMITIVES, the table of all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np

from ..dtype import FLOATING, Array, DType, float32, number_as, of, result_dtype
from ..errors import DtypeError, EngineError, OutOfRangeError, ShapeError

Kernel = Callable[..., Any]
Rule = Callable[..., tuple[Array | None, ...]]
Promotion = Literal["common", "float"]


class Primitive:
    """One operator: a kernel on arrays, and the rule that turns the gradient of its output into its inputs'.

    Arrays (or numbers) go positionally, attributes by keyword. A kernel gives an array or a tuple of arrays.
    `promotion` says what its inputs become first: "common" the dtype they meet in, "float" likewise with float32 for
    integers.
    """

    def __init__(self, name: str, kernel: Kernel, promotion: Promotion | None = None, doc: str | None = None) -> None:
        self.name = name
        self.kernel = kernel
        self.promotion = promotion
        self.rule: Rule | None = None
        self.told_needs = self.told_shapes = self.crossed = False
        self._kept: tuple[bool, ...] = ()
        self._rest_kept = False
        self.__doc__ = doc or kernel.__doc__

    def gradient(self, rule: Rule) -> Rule:
        """Take `rule(g, out, *inputs, **attributes)` → one gradient an input, None where there is none.

        With several outputs, `g` and `out` are tuples, and g holds None for outputs that nothing used.
        A parameter whose name begins with an underscore is not kept for it (None is passed). A rule with a keyword
        `shapes` is told the shapes of all inputs, one with `needs` which inputs want a gradient. Shapes and dtypes
        that broadcasting or promotion changed are brought back by the caller.
        """
        self.rule = rule
        parameters = inspect.signature(rule).parameters
        self.told_needs, self.told_shapes = "needs" in parameters, "shapes" in parameters
        single = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._kept = tuple(not p.name.startswith("_") for p in single)
        rest = [p for p in parameters.values() if p.kind is p.VAR_POSITIONAL]
        self._rest_kept = bool(rest) and not rest[0].name.startswith("_")
        return rule

    def cross_gradient(self, rule: Rule) -> Rule:
        """As `gradient`, for two inputs each of which is kept only where the other one wants a gradient."""
        self.crossed = True
        return self.gradient(rule)

    def keeps(self, index: int) -> bool:
        """Whether the rule uses input `index` (-1: the output), so that it must be kept for it."""
        position = index + 2
        return self._kept[position] if position < len(self._kept) else self._rest_kept

    def prepare(self, operands: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands in the dtype that `promotion` asks for."""
        if self.promotion is None:
            return operands
        if self._alike(operands):
            return operands
        dtype = result_dtype(*operands)
        if self.promotion == "float" and dtype.kind in "biu":
            dtype = float32.numpy
        return tuple(
            (o if o.dtype is dtype else o.astype(dtype)) if isinstance(o, np.ndarray) else number_as(o, dtype)
            for o in operands
        )

    def _alike(self, operands: tuple[Any, ...]) -> bool:
        """Whether all are arrays of one dtype that needs no change; quick, as it stands in every operation's way."""
        dtype = getattr(operands[0], "dtype", None)
        if dtype is None or (self.promotion == "float" and dtype.kind in "biu"):
            return False
        return all([type(o) is np.ndarray and o.dtype is dtype for o in operands])

    def run(self, *operands: Any, **attributes: Any) -> Any:
        """The kernel on prepared operands; NumPy's complaints about shapes come out as ShapeError."""
        try:
            with np.errstate(all="ignore"):
                return self.kernel(*(self.prepare(operands) if self.promotion else operands), **attributes)
        except EngineError:
            raise
        except np.exceptions.AxisError as error:
            shapes = " and ".join(str(o.shape) for o in operands if isinstance(o, np.ndarray))
            raise OutOfRangeError(f"{self.name}: {shapes}: there is no dim {error.axis}") from error
        except ValueError as error:
            shapes = " and ".join(str(o.shape) for o in operands if isinstance(o, np.ndarray))
            raise ShapeError(f"{self.name}: {shapes}: {_reason(operands) or error}") from error
        except TypeError as error:
            raise DtypeError(f"{self.name}: {error}") from error

    __call__ = run

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


def _reason(operands: tuple[Any, ...]) -> str | None:
    """Which sizes do not broadcast, if that is what is wrong."""
    shapes = [o.shape for o in operands if isinstance(o, np.ndarray)]
    for back in range(1, 1 + max(map(len, shapes), default=0)):
        sizes = sorted({shape[-back] for shape in shapes if len(shape) >= back} - {1})
        if len(sizes) > 1:
            return f"sizes {' and '.join(map(str, sizes))} at dim {-back} differ; expected equal sizes or 1"
    return None


PRIMITIVES: dict[str, Primitive] = {}


@overload
def primitive(kernel: Kernel) -> Primitive: ...
@overload
def primitive(*, promotion: Promotion) -> Callable[[Kernel], Primitive]: ...
def primitive(
    kernel: Kernel | None = None, *, promotion: Promotion | None = None
) -> Primitive | Callable[[Kernel], Primitive]:
    """Make a kernel a row of PRIMITIVES, under its own name (a trailing underscore dropped)."""

    def register(kernel: Kernel) -> Primitive:
        return enter(Primitive(kernel.__name__.rstrip("_"), kernel, promotion))

    return register if kernel is None else register(kernel)


def enter(row: Primitive) -> Primitive:
    """Put a primitive into the table."""
    if row.name in PRIMITIVES:
        raise EngineError(f"there is a primitive called {row.name!r} already")
    PRIMITIVES[row.name] = row
    return row


def floating(array: Array) -> bool:
    """Whether gradients can flow through values of the array's dtype."""
    return of(array).category >= FLOATING


def default_float(dtype: DType | None, *arrays: Array) -> DType:
    """`dtype`, or what the arrays meet in with float32 for integers."""
    if dtype is not None:
        return dtype
    met = result_dtype(*arrays)
    return float32 if met.kind in "biu" else of(np.empty(0, met))
