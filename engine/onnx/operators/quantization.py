"""Numbers of few bits with a scale and a zero point, and back."""

from __future__ import annotations

from ..calls import Call
from ..elements import ELEMENTS, Element
from ..items import Item
from .convolution import centred, whole_conv
from .table import operator


def _bounds(kind: Element) -> tuple[int, int]:
    if kind.carrier.kind == "u":
        return 0, (1 << kind.bits) - 1
    return -(1 << (kind.bits - 1)), (1 << (kind.bits - 1)) - 1


def _along(at: Call, parameter: Item, x: Item) -> Item:
    """A scale or zero point so that it broadcasts: one for all, one a slice of an axis, or one a block along it."""
    block = at.integer("block_size", 0)
    if not block and (parameter.ndim != 1 or x.ndim < 2):
        return parameter
    axis = at.axis(at.integer("axis", 1), x.ndim)
    if block:
        shape = (*parameter.shape[: axis + 1], 1, *parameter.shape[axis + 1 :])
        wide = (*parameter.shape[: axis + 1], block, *parameter.shape[axis + 1 :])
        joined = (*parameter.shape[:axis], parameter.shape[axis] * block, *parameter.shape[axis + 1 :])
        stretched = at("reshape", at("expand", at("reshape", parameter, shape=shape), shape=wide), shape=joined)
        part = at("getitem", stretched, index=(*(slice(None),) * axis, slice(0, x.shape[axis])))
        return Item(part.array, parameter.element, part.number)
    shape = tuple(parameter.shape[0] if d == axis else 1 for d in range(x.ndim))
    return at("reshape", parameter, shape=shape if parameter.shape[0] > 1 else (1,) * x.ndim)


@operator("QuantizeLinear")
def quantize_linear(at: Call, x: Item, scale: Item, zero: Item | None = None) -> Item:
    """x / scale + zero point, rounded and kept within the type of the zero point."""
    kind = zero.element if zero is not None else ELEMENTS[at.integer("output_dtype", 0) or 2]
    ratio = at("div", at.as_float(x), at.as_float(_along(at, scale, x)))
    point = None if zero is None else _along(at, zero, x)
    return quantized(at, ratio, point, kind)


def quantized(at: Call, ratio: Item, point: Item | None, kind: Element) -> Item:
    """Numbers rounded and moved by the zero point, within a type."""
    if kind.mini is not None:
        moved = ratio if point is None else at("add", ratio, at.cast(point, ELEMENTS[1]))
        return at.cast(moved, kind, at.flag("saturate", True))
    low, high = _bounds(kind)
    whole = at("round", ratio)
    if point is not None:
        whole = at("add", whole, at.cast(point, ratio.element))
    return at.cast(at("clamp", whole, min=low, max=high), kind)


@operator("DequantizeLinear")
def dequantize_linear(at: Call, x: Item, scale: Item, zero: Item | None = None) -> Item:
    """(x - zero point) * scale, in the type of the scale."""
    kind = at.element("output_dtype", 0) if at.integer("output_dtype", 0) else scale.element
    wide = at.cast(x, ELEMENTS[1]) if x.element.code != 6 else at.cast(x, ELEMENTS[11])
    if zero is not None:
        wide = at("sub", wide, at.cast(_along(at, zero, x), wide.element))
    factor = at.cast(_along(at, scale, x), wide.element)
    return at.cast(at("mul", wide, factor), kind)


@operator("DynamicQuantizeLinear")
def dynamic_quantize_linear(at: Call, x: Item) -> tuple[Item, Item, Item]:
    """x in 8 bits, with a scale and a zero point that its own range gives."""
    low = at("minimum", at("amin", x), 0.0)
    high = at("maximum", at("amax", x), 0.0)
    scale = at("div", at("sub", high, low), 255.0)
    point = at("round", at("clamp", at("div", at("neg", low), scale), min=0.0, max=255.0))
    point = at.cast(point, ELEMENTS[2])
    return quantized(at, at("div", x, scale), point, ELEMENTS[2]), scale, point


@operator("QLinearMatMul")
def qlinear_matmul(
    at: Call, a: Item, a_scale: Item, a_zero: Item, b: Item, b_scale: Item, b_zero: Item, scale: Item, zero: Item
) -> Item:
    """The product of quantised matrices, quantised."""
    left, right = centred(at, a, a_zero, a.ndim - 2), centred(at, b, b_zero, b.ndim - 1)
    product = at("matmul", left, right)
    return _requantized(at, product, (a_scale, b_scale, scale), zero)


def _requantized(at: Call, product: Item, scales: tuple[Item, Item, Item], zero: Item) -> Item:
    first, second, third = (at.cast(s, ELEMENTS[11]) for s in scales)
    factor = at("div", at("mul", first, second), third)
    return quantized(at, at("mul", product, factor), zero, zero.element)


@operator("QLinearConv")
def qlinear_conv(
    at: Call, x: Item, x_scale: Item, x_zero: Item, w: Item, w_scale: Item, w_zero: Item, scale: Item, zero: Item,
    bias: Item | None = None,
) -> Item:  # fmt: skip
    """A convolution of quantised numbers, quantised."""
    total = whole_conv(at, x, w, x_zero, w_zero)
    channels = (-1, *(1,) * (x.ndim - 2))
    if bias is not None:
        total = at("add", total, at("reshape", at.cast(bias, ELEMENTS[11]), shape=channels))
    if w_scale.ndim and w_scale.shape[0] > 1:
        w_scale = at("reshape", w_scale, shape=channels)
    return _requantized(at, total, (x_scale, w_scale, scale), zero)
