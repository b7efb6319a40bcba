"""Normalisations."""

from __future__ import annotations

from typing import Any

from ..calls import Call
from ..items import Item
from .table import operator


@operator("BatchNormalization")
def batch_normalization(at: Call, x: Item, scale: Item, bias: Item, mean: Item, variance: Item) -> Any:
    """x normalised by the statistics of its channels, given ones or in training its own."""
    eps = at.number("epsilon", 1e-5)
    scale, bias = (at.cast(i, x.element) if i.array.dtype != x.array.dtype else i for i in (scale, bias))
    if at.flag("training_mode") or (at.version < 7 and not at.flag("is_test", False) and at.outputs > 1):
        return _training(at, x, scale, bias, mean, variance, eps)
    flat = x if x.ndim > 1 else at("reshape", x, shape=(*x.shape, 1))
    result = at("batch_norm", flat, scale, bias, mean, variance, eps=eps)
    return result if x.ndim > 1 else at("reshape", result, shape=x.shape)


def _training(at: Call, x: Item, scale: Item, bias: Item, mean: Item, variance: Item, eps: float) -> Any:
    result, own_mean, own_variance = at.several("batch_norm_of_batch", x, scale, bias, eps=eps)
    kept = at.number("momentum", 0.9)

    def moved(old: Item, new: Item) -> Item:
        return at("add", at("mul", old, kept), at("mul", new, 1 - kept))

    return result, moved(mean, own_mean), moved(variance, own_variance)


@operator("InstanceNormalization")
def instance_normalization(at: Call, x: Item, scale: Item, bias: Item) -> Item:
    """x normalised channel by channel of each image."""
    return at("group_norm", x, scale, bias, groups=x.shape[1], eps=at.number("epsilon", 1e-5))


@operator("GroupNormalization")
def group_normalization(at: Call, x: Item, scale: Item, bias: Item) -> Item:
    """x normalised over groups of channels; before opset 21 there is one scale a group."""
    groups, channels = at.integer("num_groups"), x.shape[1]

    def a_channel(parameter: Item) -> Item:
        if at.version >= 21 or parameter.shape[0] == channels:
            return parameter
        each = at("reshape", parameter, shape=(groups, 1))
        return at("reshape", at("expand", each, shape=(groups, channels // groups)), shape=(channels,))

    return at("group_norm", x, a_channel(scale), a_channel(bias), groups=groups, eps=at.number("epsilon", 1e-5))


@operator("LayerNormalization")
def layer_normalization(at: Call, x: Item, scale: Item, bias: Item | None = None) -> Any:
    """x normalised over its dims from an axis on; with the mean and the inverse of the deviation where wanted."""
    axis, eps = at.axis(at.integer("axis", -1), x.ndim), at.number("epsilon", 1e-5)
    normalised = x.shape[axis:]
    fits = scale.shape == normalised and (bias is None or bias.shape == normalised)
    result = at("layer_norm", x, *((scale, bias) if fits else (None, None)), dims=x.ndim - axis, eps=eps)
    if not fits:
        result = at("mul", result, scale)
        result = result if bias is None else at("add", result, bias)
    if at.outputs < 2:
        return result
    dims = tuple(range(axis, x.ndim))
    wide = at.as_float(x)
    mean = at("mean", wide, dim=dims, keepdim=True)
    variance = at("var", wide, dim=dims, correction=0, keepdim=True)
    return result, mean, at("rsqrt", at("add", variance, eps))


@operator("RMSNormalization", "SimplifiedLayerNormalization")
def rms_normalization(at: Call, x: Item, scale: Item) -> Item:
    """x over the root of its mean square over its dims from an axis on."""
    axis, eps = at.axis(at.integer("axis", -1), x.ndim), at.number("epsilon", 1e-5)
    fits = scale.shape == x.shape[axis:]
    result = at("rms_norm", x, scale if fits else None, dims=x.ndim - axis, eps=eps)
    return result if fits else at("mul", result, scale)


@operator("LRN")
def lrn(at: Call, x: Item) -> Item:
    """x over a power of the squares of neighbouring channels."""
    size = at.integer("size")
    settings = {"alpha": at.number("alpha", 1e-4), "beta": at.number("beta", 0.75), "k": at.number("bias", 1.0)}
    if size % 2:
        return at("local_response_norm", x, size=size, **settings)
    # An even window reaches further behind than before, the other way round from the primitive's.
    turned = at("flip", x, dims=(1,))
    return at("flip", at("local_response_norm", turned, size=size, **settings), dims=(1,))
