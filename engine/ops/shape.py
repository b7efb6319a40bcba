"""Primitives that arrange elements anew without changing them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..dtype import Array, result_dtype
from ..errors import ShapeError
from .primitive import Primitive, primitive

Shape = tuple[int, ...]


@primitive
def reshape(x: Array, *, shape: Shape) -> Array:
    """The same elements in another shape, sharing memory where the strides allow it; one size may be -1."""
    try:
        return x.reshape(shape)
    except ValueError:
        raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which do not fit {shape}") from None


@reshape.gradient
def _(g: Array, _out: None, _x: None, *, shape: Shape, shapes: Any) -> tuple[Array]:
    return (g.reshape(shapes[0]),)


@primitive
def permute(x: Array, *, dims: Shape) -> Array:
    """The dims in another order."""
    if sorted(d % max(x.ndim, 1) for d in dims) != list(range(x.ndim)):
        raise ShapeError(f"permute: {x.shape} by {dims}: expected each of its {x.ndim} dims once")
    return x.transpose(dims)


@permute.gradient
def _(g: Array, _out: None, _x: None, *, dims: Shape) -> tuple[Array]:
    return (g.transpose(np.argsort([d % max(g.ndim, 1) for d in dims])),)


@primitive
def expand(x: Array, *, shape: Shape) -> Array:
    """Dims of size 1 stretched without a copy; -1 leaves a size as it is."""
    extra = len(shape) - x.ndim
    if extra < 0 or -1 in shape[:extra]:
        raise ShapeError(f"expand: {x.shape} to {shape}: expected sizes for all {x.ndim} dims, and new ones first")
    sizes = tuple(x.shape[i - extra] if n == -1 else n for i, n in enumerate(shape))
    try:
        return np.broadcast_to(x, sizes)
    except ValueError:
        raise ShapeError(f"expand: {x.shape} to {shape}: only dims of size 1 can be stretched") from None


@expand.gradient
def _(g: Array, _out: None, _x: None, *, shape: Shape) -> tuple[Array]:
    return (g,)


@primitive
def cat(*parts: Array, dim: int = 0) -> Array:
    """The parts one behind the other along a dim."""
    parts = tuple(p for p in parts if p.shape != (0,)) or parts[:1]
    dtype = result_dtype(*parts)
    return np.concatenate([p.astype(dtype, copy=False) for p in parts], axis=dim)


@cat.gradient
def _(g: Array, _out: None, *_parts: None, dim: int = 0, shapes: Any) -> tuple[Array, ...]:
    empty = (0,)
    sizes = [0 if shape == empty else shape[dim] for shape in shapes]
    pieces = np.split(g, list(itertools.accumulate(sizes))[:-1], axis=dim)
    return tuple(p.reshape(s) if s == empty else p for p, s in zip(pieces, shapes, strict=True))


@primitive
def stack(*parts: Array, dim: int = 0) -> Array:
    """The parts, all of one shape, side by side along a new dim."""
    if len({p.shape for p in parts}) > 1:
        raise ShapeError(
            f"stack: expected parts of one shape, met {' and '.join(sorted({str(p.shape) for p in parts}))}"
        )
    dtype = result_dtype(*parts)
    return np.stack([p.astype(dtype, copy=False) for p in parts], axis=dim)


@stack.gradient
def _(g: Array, _out: None, *_parts: None, dim: int = 0) -> tuple[Array, ...]:
    return tuple(np.moveaxis(g, dim, 0))


@primitive
def flip(x: Array, *, dims: Shape) -> Array:
    """The order along some dims turned round."""
    return np.flip(x, dims).copy()


@flip.gradient
def _(g: Array, _out: None, _x: None, *, dims: Shape) -> tuple[Array]:
    return (np.flip(g, dims),)


@primitive
def roll(x: Array, *, shifts: Shape, dims: Shape | None = None) -> Array:
    """Elements moved along dims, those that fall off coming back at the other end."""
    return np.roll(x, shifts[0] if dims is None else shifts, dims)


@roll.gradient
def _(g: Array, _out: None, _x: None, *, shifts: Shape, dims: Shape | None = None) -> tuple[Array]:
    back = tuple(-s for s in shifts)
    return (np.roll(g, back[0] if dims is None else back, dims),)


@primitive
def repeat(x: Array, *, repeats: Shape) -> Array:
    """The whole, so many times along each dim."""
    return np.tile(x, repeats)


@repeat.gradient
def _(g: Array, _out: None, _x: None, *, repeats: Shape, shapes: Any) -> tuple[Array]:
    shape = (1,) * (len(repeats) - len(shapes[0])) + shapes[0]
    pairs = [n for pair in zip(repeats, shape, strict=True) for n in pair]
    return (g.reshape(pairs).sum(axis=tuple(range(0, 2 * len(shape), 2))).reshape(shapes[0]),)


@primitive
def pad(x: Array, *, widths: tuple[tuple[int, int], ...], mode: str = "constant", value: float = 0.0) -> Array:
    """Room before and after each dim, filled with a value, the edge ("replicate") or the mirrored inside ("reflect").

    Negative widths cut, for constant padding.
    """
    if mode == "constant":
        inside = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, x.shape, strict=True))
        room = [(max(a, 0), max(b, 0)) for a, b in widths]
        return np.pad(x[inside], room, constant_values=x.dtype.type(value))
    if mode == "reflect" and any(max(w) >= n for w, n in zip(widths, x.shape, strict=True) if w != (0, 0)):
        raise ShapeError(f"pad: {x.shape} reflected by {widths}: widths must be less than the sizes")
    return np.pad(x, widths, mode=_MODES[mode])  # type: ignore[call-overload,no-any-return]


_MODES = {"replicate": "edge", "reflect": "reflect", "circular": "wrap"}


@pad.gradient
def _(
    g: Array,
    _out: None,
    _x: None,
    *,
    widths: tuple[tuple[int, int], ...],
    mode: str = "constant",
    value: float = 0.0,
    shapes: Any,
) -> tuple[Array]:
    if mode == "constant":
        return (pad.kernel(g, widths=tuple((-a, -b) for a, b in widths)),)
    for dim, (width, size) in enumerate(zip(widths, shapes[0], strict=True)):
        if width == (0, 0):
            continue
        source = np.pad(np.arange(size), width, mode=_MODES[mode])  # type: ignore[call-overload]
        whole = np.zeros((size, *np.moveaxis(g, dim, 0).shape[1:]), g.dtype)
        np.add.at(whole, source, np.moveaxis(g, dim, 0))
        g = np.moveaxis(whole, 0, dim)
    return (g,)


@primitive
def tril(x: Array, *, diagonal: int = 0) -> Array:
    """Matrices with 0 above a diagonal."""
    return np.tril(x, diagonal)


@tril.gradient
def _(g: Array, _out: None, _x: None, *, diagonal: int = 0) -> tuple[Array]:
    return (np.tril(g, diagonal),)


@primitive
def triu(x: Array, *, diagonal: int = 0) -> Array:
    """Matrices with 0 below a diagonal."""
    return np.triu(x, diagonal)


@triu.gradient
def _(g: Array, _out: None, _x: None, *, diagonal: int = 0) -> tuple[Array]:
    return (np.triu(g, diagonal),)


@primitive
def diagonal(x: Array, *, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """The diagonal of two dims as the last dim, a view."""
    writeable = x.diagonal(offset, dim1, dim2)
    if x.flags.writeable:
        writeable.flags.writeable = True
    return writeable


@diagonal.gradient
def _(g: Array, _out: None, _x: None, *, offset: int = 0, dim1: int = 0, dim2: int = 1, shapes: Any) -> tuple[Array]:
    whole = np.zeros(shapes[0], g.dtype)
    diagonal.kernel(whole, offset=offset, dim1=dim1, dim2=dim2)[...] = g
    return (whole,)


@primitive
def window(x: Array, *, dim: int, size: int, step: int) -> Array:
    """Windows of `size` along a dim, `step` apart, as a new last dim, a view."""
    if not 0 < size <= x.shape[dim] or step < 1:
        raise ShapeError(f"unfold: windows of {size}, {step} apart, do not fit dim {dim} of {x.shape}")
    every = np.lib.stride_tricks.sliding_window_view(x, size, dim, writeable=x.flags.writeable)
    return every[(*[slice(None)] * (dim % x.ndim), slice(None, None, step))]


@window.gradient
def _(g: Array, _out: None, _x: None, *, dim: int, size: int, step: int, shapes: Any) -> tuple[Array]:
    whole = np.zeros(shapes[0], g.dtype)
    at = dim % whole.ndim
    for start in range(size):  # a window's elements of one place never overlap
        part = slice(start, start + (g.shape[at] - 1) * step + 1, step)
        whole[(*[slice(None)] * at, part)] += g[..., start]
    return (whole,)


@primitive
def place(x: Array, part: Array, *, view: Primitive, how: dict[str, Any]) -> Array:
    """A copy of x in which the view that a primitive gives of it holds `part`."""
    whole = x.copy()
    view.kernel(whole, **how)[...] = part
    return whole


@place.gradient
def _(g: Array, _out: None, _x: None, _part: None, *, view: Primitive, how: dict[str, Any]) -> tuple[Array, Array]:
    rest = g.copy()
    inside = view.kernel(rest, **how)
    share = inside.copy()
    inside[...] = 0
    return rest, share


@primitive
def overwrite(x: Array, value: Array) -> Array:
    """The value in x's shape and dtype."""
    return np.broadcast_to(value, x.shape).astype(x.dtype)


@overwrite.gradient
def _(g: Array, _out: None, _x: None, _value: None) -> tuple[Array, Array]:
    return np.zeros_like(g), g
