"""outlines_of(), which tells shapes and dtypes of an operation's results without doing its work.

An outline is an array that takes no memory: one zero, stretched to a shape. Views are taken of outlines as of any
array; element by element operations are tried on one element; the expensive operations have a rule each. What has none
runs on zeros, as long as these are few.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtype import Array, result_dtype
from ..errors import EngineError, ShapeError
from ..ops import PRIMITIVES
from ..ops.windows import Windows

Outline = Array
Shape = tuple[int, ...]
MOST_ZEROS = 1 << 22

# What depends on the values: nobody can tell the shape before they are there.
BY_VALUES = {"nonzero", "unique", "bincount", "nms"}
VIEWS = {"permute", "expand", "getitem", "diagonal", "window"}


def outline(shape: Sequence[int], dtype: np.dtype[Any]) -> Outline:
    """An array of this shape and dtype that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), tuple(shape))


def outlines_of(name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> tuple[Outline, ...]:
    """The results of a primitive as outlines; the operands are outlines, arrays, numbers or None.

    Raises: what the primitive raises for operands that do not fit; EngineError where only the values can tell.
    """
    if name in BY_VALUES:
        raise EngineError(f"{name}: the shape of its result depends on the values")
    if name in VIEWS:
        return (PRIMITIVES[name].run(*operands, **attributes),)
    if name in ELEMENTWISE:
        return (_elementwise(name, operands, attributes),)
    if name in RULES:
        result = RULES[name](*operands, **attributes)
        return result if isinstance(result, tuple) else (result,)
    return _on_zeros(name, operands, attributes)


def _on_zeros(name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> tuple[Outline, ...]:
    size = sum(o.size for o in operands if isinstance(o, np.ndarray))
    if size > MOST_ZEROS:
        raise EngineError(
            f"{name}: the shape of its result is only found by running it, and {size} values are too many"
        )
    result = PRIMITIVES[name].run(*operands, **attributes)
    return tuple(_like(r) for r in (result if isinstance(result, tuple) else (np.asarray(result),)))


def _like(array: Array) -> Outline:
    return outline(array.shape, array.dtype)


ELEMENTWISE = {
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "cast", "ceil", "clamp", "clone", "conj",
    "contiguous", "cos", "cosh", "div", "elu", "eq", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "floor",
    "floor_divide", "fmax", "fmin", "fmod", "frac", "ge", "gelu", "gt", "hardsigmoid", "hardswish", "hypot",
    "isfinite", "isinf", "isnan", "le", "leaky_relu", "log", "log10", "log1p", "log2", "logaddexp", "logical_and",
    "logical_not", "logical_or", "logical_xor", "logsigmoid", "lt", "masked_fill", "maximum", "minimum", "mish", "mul",
    "nan_to_num", "ne", "neg", "pow", "reciprocal", "relu", "remainder", "round", "rsqrt", "sigmoid", "sign", "silu",
    "sin", "sinh", "softplus", "sqrt", "square", "sub", "tan", "tanh", "trunc", "trunc_divide", "where", "xlogy",
    "mse_loss", "l1_loss", "huber_loss", "kl_div", "binary_cross_entropy", "binary_cross_entropy_with_logits",
}  # fmt: skip


def _elementwise(name: str, operands: Sequence[Any], attributes: dict[str, Any]) -> Outline:
    """The dtype by one element, the shape by broadcasting."""
    arrays = [o for o in operands if isinstance(o, np.ndarray)]
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        met = " and ".join(str(a.shape) for a in arrays)
        raise ShapeError(f"{name}: {met}: sizes differ; expected equal sizes or 1") from None
    ones = [np.ones((1,) * o.ndim, o.dtype) if isinstance(o, np.ndarray) else o for o in operands]
    if name == "masked_fill":
        shape = np.broadcast_shapes(arrays[0].shape, arrays[1].shape)
    return outline(shape, np.asarray(PRIMITIVES[name].run(*ones, **attributes)).dtype)


def _same(x: Outline, *_operands: Any, **_attributes: Any) -> Outline:
    return _like(x)


def _floating(x: Outline, **_attributes: Any) -> Outline:
    return outline(x.shape, np.dtype(np.float32) if x.dtype.kind in "biu" else x.dtype)


def _reshape(x: Outline, *, shape: Shape) -> Outline:
    sizes = list(shape)
    if sizes.count(-1) == 1:
        known = math.prod(size for size in sizes if size != -1)
        if known and x.size % known == 0:
            sizes[sizes.index(-1)] = x.size // known
    if math.prod(sizes) != x.size or min(sizes, default=0) < 0:
        raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which do not fit {shape}")
    return outline(sizes, x.dtype)


def _cat(*parts: Outline, dim: int = 0) -> Outline:
    parts = tuple(p for p in parts if p.shape != (0,)) or parts[:1]
    sizes = list(parts[0].shape)
    at = _axis(dim, len(sizes), "cat")
    for part in parts[1:]:
        other = list(part.shape)
        if len(other) != len(sizes) or other[:at] + other[at + 1 :] != sizes[:at] + sizes[at + 1 :]:
            raise ShapeError(f"cat: {parts[0].shape} and {part.shape} differ beside dim {dim}")
    sizes[at] = sum(part.shape[at] for part in parts)
    return outline(sizes, result_dtype(*parts))


def _axis(dim: int, ndim: int, name: str) -> int:
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise ShapeError(f"{name}: there is no dim {dim} among {ndim}")
    return dim % max(ndim, 1)


def _stack(*parts: Outline, dim: int = 0) -> Outline:
    if len({p.shape for p in parts}) > 1:
        return _on_zeros("stack", parts, {"dim": dim})[0]
    at = _axis(dim, parts[0].ndim + 1, "stack")
    shape = (*parts[0].shape[:at], len(parts), *parts[0].shape[at:])
    return outline(shape, result_dtype(*parts))


def _pad(x: Outline, *, widths: tuple[tuple[int, int], ...], mode: str = "constant", value: float = 0.0) -> Outline:
    sizes = tuple(size + before + after for size, (before, after) in zip(x.shape, widths, strict=True))
    if min(sizes, default=0) < 0:
        raise ShapeError(f"pad: {x.shape} by {widths} leaves less than nothing")
    return outline(sizes, x.dtype)


def _repeat(x: Outline, *, repeats: Shape) -> Outline:
    sizes = (1,) * (len(repeats) - x.ndim) + x.shape
    counts = (1,) * (x.ndim - len(repeats)) + tuple(repeats)
    return outline(tuple(size * count for size, count in zip(sizes, counts, strict=True)), x.dtype)


def _reduced(name: str) -> Callable[..., Outline]:
    def rule(x: Outline, *, dim: Any = None, keepdim: bool = False, **attributes: Any) -> Outline:
        small = np.zeros((1,) * x.ndim, x.dtype)
        dtype = np.asarray(PRIMITIVES[name].run(small, dim=dim, keepdim=keepdim, **attributes)).dtype
        return outline(_without(x.shape, dim, keepdim), dtype)

    return rule


def _without(shape: Shape, dim: Any, keepdim: bool) -> Shape:
    dims = range(len(shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
    gone = {d % max(len(shape), 1) for d in dims}
    return tuple(1 if d in gone else size for d, size in enumerate(shape) if keepdim or d not in gone)


def _one_of(x: Outline, *, dim: int = -1, keepdim: bool = False, **_attributes: Any) -> tuple[Outline, Outline]:
    shape = _without(x.shape, _axis(dim, x.ndim, "max"), keepdim)
    return outline(shape, x.dtype), outline(shape, np.dtype(np.int64))


def _with_places(x: Outline, **_attributes: Any) -> tuple[Outline, Outline]:
    return _like(x), outline(x.shape, np.dtype(np.int64))


def _topk(x: Outline, *, k: int, dim: int = -1, **_attributes: Any) -> tuple[Outline, Outline]:
    sizes = list(x.shape)
    if sizes:
        at = _axis(dim, x.ndim, "topk")
        if not 0 <= k <= sizes[at]:
            raise ShapeError(f"topk: k is {k}, but dim {dim} of {x.shape} has {sizes[at]} elements")
        sizes[at] = k
    return outline(sizes, x.dtype), outline(sizes, np.dtype(np.int64))


def _summed(x: Outline, *, dtype: Any = None, **_attributes: Any) -> Outline:
    whole = np.dtype(np.int64) if x.dtype.kind in "biu" else x.dtype
    return outline(x.shape, whole if dtype is None else dtype.numpy)


def _matmul(a: Outline, b: Outline) -> Outline:
    if not a.ndim or not b.ndim or a.dtype != b.dtype or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        PRIMITIVES["matmul"].run(a, b)  # says what is wrong
    left, right = a.shape if a.ndim > 1 else (1, *a.shape), b.shape if b.ndim > 1 else (*b.shape, 1)
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        raise ShapeError(f"matmul: {a.shape} @ {b.shape}: the batches differ") from None
    ends = (*(left[-2:-1] if a.ndim > 1 else ()), *(right[-1:] if b.ndim > 1 else ()))
    return outline((*batch, *ends), a.dtype)


def _linear(x: Outline, weight: Outline, bias: Outline | None = None) -> Outline:
    if x.dtype != weight.dtype or x.shape[-1:] != weight.shape[-1:]:
        PRIMITIVES["linear"].run(x, weight, bias)  # says what is wrong
    return outline((*x.shape[:-1], *weight.shape[:-1]), x.dtype)


def _conv(
    x: Outline, weight: Outline, bias: Outline | None, *, stride: Shape, padding: Any, dilation: Shape, groups: int
) -> Outline:
    fits = x.ndim == weight.ndim and groups > 0 and x.shape[1] == weight.shape[1] * groups
    if (
        not fits
        or len(weight) % groups
        or weight.dtype != x.dtype
        or (bias is not None and bias.shape != weight.shape[:1])
    ):
        PRIMITIVES["conv"].run(
            x[:1], weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
        )  # says what is wrong
    counts = Windows(weight.shape[2:], stride, padding, dilation).sizes("conv", x.shape[2:])
    return outline((len(x), len(weight), *counts), x.dtype)


def _conv_transpose(
    x: Outline, weight: Outline, bias: Outline | None, *,
    stride: Shape, padding: Any, output_padding: Shape, dilation: Shape, groups: int,
) -> Outline:  # fmt: skip
    windows = Windows(weight.shape[2:], stride, padding, dilation)
    sizes = tuple(
        (size - 1) * s + span - sum(pads) + extra
        for size, s, span, pads, extra in zip(x.shape[2:], stride, windows.span, padding, output_padding, strict=True)
    )
    if min(sizes, default=1) < 1 or x.shape[1] != len(weight):
        raise ShapeError(f"conv_transpose: input {x.shape} and weight {weight.shape} give an output of {sizes}")
    return outline((len(x), weight.shape[1] * groups, *sizes), x.dtype)


def _pooled(
    x: Outline, *, kernel: Shape, stride: Shape, padding: Any, dilation: Shape | None = None, ceil_mode: bool = False,
    **_attributes: Any,
) -> Outline:  # fmt: skip
    windows = Windows(kernel, stride, padding, dilation or (1,) * len(kernel))
    first = x.ndim - len(kernel)
    return outline((*x.shape[:first], *windows.sizes("pool", x.shape[first:], ceil_mode)), x.dtype)


def _pooled_places(x: Outline, **attributes: Any) -> Outline:
    return outline(_pooled(x, **attributes).shape, np.dtype(np.int64))


def _resized(x: Outline, *, size: Shape, **_attributes: Any) -> Outline:
    return outline((*x.shape[: x.ndim - len(size)], *size), x.dtype)


def _normalised(x: Outline, *_parameters: Any, **_attributes: Any) -> Outline:
    return _like(x)


def _embedding(weight: Outline, index: Outline, **_attributes: Any) -> Outline:
    return outline((*index.shape, *weight.shape[1:]), weight.dtype)


def _bags(weight: Outline, index: Outline, offsets: Outline | None = None, *_rest: Any, **_attributes: Any) -> Outline:
    count = index.shape[0] if offsets is None else offsets.shape[0]
    return outline((count, *weight.shape[1:]), weight.dtype)


def _gather(x: Outline, index: Outline, *, dim: int) -> Outline:
    return outline(index.shape, x.dtype)


def _index(x: Outline, *positions: Outline, dims: tuple[int, ...]) -> Outline:
    """By NumPy's rule: the positions' shape stands where they stand, or in front where they are apart."""
    try:
        shape = np.broadcast_shapes(*(p.shape for p in positions))
    except ValueError:
        raise ShapeError(f"index: positions of {' and '.join(str(p.shape) for p in positions)}") from None
    rest = [size for d, size in enumerate(x.shape) if d not in dims]
    together = list(dims) == list(range(dims[0], dims[0] + len(dims)))
    at = dims[0] if together else 0
    return outline((*rest[:at], *shape, *rest[at:]), x.dtype)


def _attention(q: Outline, k: Outline, v: Outline, mask: Outline | None, **_attributes: Any) -> Outline:
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(f"scaled_dot_product_attention: q {q.shape}, k {k.shape}, v {v.shape} do not fit")
    scores = _matmul(q, k.swapaxes(-1, -2))
    if mask is not None:
        scores = outline(np.broadcast_shapes(scores.shape, mask.shape), q.dtype)
    return _matmul(scores, v)


def _recurrent(x: Outline, h: Outline, *rest: Any, **_attributes: Any) -> tuple[Outline, ...]:
    if x.ndim != 3 or h.ndim != 2 or h.shape[0] != x.shape[1]:
        raise ShapeError(f"a recurrent layer: inputs of {x.shape} and a state of {h.shape}")
    return outline((*x.shape[:2], h.shape[1]), x.dtype), _like(h)


def _lstm(x: Outline, h: Outline, c: Outline, *rest: Any, **attributes: Any) -> tuple[Outline, ...]:
    return (*_recurrent(x, h), _like(c))


def _sampled(x: Outline, grid: Outline, **_attributes: Any) -> Outline:
    if x.ndim != grid.ndim or grid.shape[:1] != x.shape[:1] or grid.shape[-1] != x.ndim - 2:
        raise ShapeError(f"grid_sample: input {x.shape} by a grid of {grid.shape}")
    return outline((*x.shape[:2], *grid.shape[1:-1]), x.dtype)


def _one_hot(x: Outline, *, num_classes: int = -1) -> Outline:
    if num_classes < 0:
        raise EngineError("one_hot: the number of classes depends on the values")
    return outline((*x.shape, num_classes), np.dtype(np.int64))


def _shuffled(x: Outline, *, factor: int) -> Outline:
    *batch, channels, height, width = x.shape
    return outline((*batch, channels // factor**2, height * factor, width * factor), x.dtype)


def _regions(x: Outline, rois: Outline, *, size: Shape, **_: Any) -> Outline:
    return outline((len(rois), x.shape[1], *size), x.dtype)


def _unshuffled(x: Outline, *, factor: int) -> Outline:
    *batch, channels, height, width = x.shape
    return outline((*batch, channels * factor**2, height // factor, width // factor), x.dtype)


RULES: dict[str, Callable[..., Any]] = {
    "reshape": _reshape, "cat": _cat, "stack": _stack, "pad": _pad, "repeat": _repeat, "flip": _same, "roll": _same,
    "tril": _same, "triu": _same, "setitem": _same, "place": _same, "overwrite": _same, "index_put": _same,
    "scatter": _same, "scatter_add": _same, "gather": _gather, "index": _index, "embedding": _embedding,
    "embedding_bag": _bags,
    "softmax": _floating, "log_softmax": _floating, "cumsum": _summed, "cumprod": _summed,
    "cummax": _with_places, "cummin": _with_places, "sort": _with_places, "topk": _topk,
    "max_dim": _one_of, "min_dim": _one_of, "median": _one_of, "kthvalue": _one_of,
    "matmul": _matmul, "linear": _linear, "conv": _conv, "conv_transpose": _conv_transpose,
    "max_pool": _pooled, "avg_pool": _pooled, "max_pool_indices": _pooled_places,
    "adaptive_max_pool": _resized, "grid_sample": _sampled, "interpolate": _resized,
    "batch_norm": _normalised, "layer_norm": _normalised, "rms_norm": _normalised, "group_norm": _normalised,
    "local_response_norm": _normalised, "scaled_dot_product_attention": _attention,
    "rnn": _recurrent, "gru": _recurrent, "lstm": _lstm, "one_hot": _one_hot,
    "pixel_shuffle": _shuffled, "pixel_unshuffle": _unshuffled, "roi_align": _regions,
}  # fmt: skip
for _name in (
    "sum", "mean", "prod", "amax", "amin", "any", "all", "var", "std", "norm", "logsumexp", "argmax", "argmin",
):  # fmt: skip
    RULES[_name] = _reduced(_name)
