"""fold_scaling(): batch norms, and multiplications and sums by channel, become part of the weights beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...dtype import Array, float32, float64
from ..ir import Graph, Node, Operand, Value
from .draft import Draft, bias_beside

NORMS = ("batch_norm", "affine_nhwc")
WEIGHTED = ("conv", "conv_transpose", "linear")


class Scaling(NamedTuple):
    """x · scale + shift, one of each for every channel, in float64."""

    x: Value
    scale: Array
    shift: Array


def fold_scaling(graph: Graph) -> Graph:
    """Fold what scales and shifts channels into the convolution or linear layer before it, or else after it.

    What cannot go there, but scales and shifts images more than once, becomes one batch norm.
    """
    draft = Draft(graph)
    for node in graph.nodes:
        node = _as_norm(_into_previous(node, draft), draft)
        draft.keep(_into_next(node, draft))
    return draft.finish()


def _as_norm(node: Node, draft: Draft) -> Node:
    """Two scalings of an image's channels in a row as a norm."""
    image = len(node.output.shape) == 4 and node.output.dtype == float32
    both = _two(node, draft, 1) if image else None
    if both is None or (len(set(both.scale)) == 1 and len(set(both.shift)) == 1):
        return node
    stem, dtype = node.output.name, node.output.dtype.numpy
    values = (both.scale, both.shift, np.zeros_like(both.scale), np.ones_like(both.scale))
    names = ("scale", "shift", "mean", "variance")
    made = (draft.constant(f"{stem}.{n}", v.astype(dtype)) for n, v in zip(names, values, strict=True))
    return replace(node, op="batch_norm", inputs=(both.x, *made), attributes={"eps": 0.0})


def _two(node: Node, draft: Draft, dim: int) -> Scaling | None:
    """A scaling and the one before it as one; None where there are not two, or something else reads what is between."""
    later = scaling_of(node, draft, dim)
    before = draft.maker(later.x) if later else None
    first = scaling_of(before, draft, dim) if before else None
    if later is None or first is None or first.x.shape != node.output.shape or not draft.is_between(later.x):
        return None
    return Scaling(first.x, first.scale * later.scale, first.shift * later.scale + later.shift)


def merge_scaling(graph: Graph) -> Graph:
    """Make one `affine_nhwc` of several scalings in a row, along the last dim of float32 values."""
    draft = Draft(graph)
    for node in graph.nodes:
        draft.keep(_merged(node, draft) or node)
    return draft.finish()


def _merged(node: Node, draft: Draft) -> Node | None:
    both = _two(node, draft, -1) if node.output.dtype == float32 and len(node.output.shape) > 1 else None
    if both is None:
        return None
    stem = node.output.name
    scale = draft.constant(f"{stem}.scale", both.scale.astype(np.float32))
    shift = draft.constant(f"{stem}.shift", both.shift.astype(np.float32))
    return replace(node, op="affine_nhwc", inputs=(both.x, scale, shift), attributes={"activation": ""})


def scaling_of(node: Node, draft: Draft, dim: int) -> Scaling | None:
    """What a node does to the channels, which lie along a dim of its output, if that is all it does."""
    if not -len(node.output.shape) <= dim < len(node.output.shape):
        return None
    with np.errstate(all="ignore"):
        if node.op in NORMS:
            own = 1 if node.op == "batch_norm" else len(node.output.shape) - 1
            found = _norm(node, draft) if dim % len(node.output.shape) == own else None
        else:
            found = _arithmetic(node, draft, dim)
    return found if found and np.isfinite(found.scale).all() and np.isfinite(found.shift).all() else None


def _arithmetic(node: Node, draft: Draft, dim: int) -> Scaling | None:
    x = node.inputs[0] if node.inputs else None
    if node.op not in ("add", "sub", "mul", "div") or len(node.inputs) != 2:
        return None
    other, turned = node.inputs[1], False
    if not _is_same(x, node) or draft.array(x) is not None:
        if node.op == "div":
            return None
        x, other, turned = other, x, True
    channels = node.output.shape[dim]
    if not isinstance(x, Value) or not _is_same(x, node) or draft.array(x) is not None or not isinstance(channels, int):
        return None
    values = _by_channel(other, draft, channels, len(node.output.shape), dim)
    return None if values is None else Scaling(x, *_scale_and_shift(node.op, values, turned))


def _is_same(x: Operand, node: Node) -> bool:
    return isinstance(x, Value) and (x.shape, x.dtype) == (node.output.shape, node.output.dtype)


def _by_channel(operand: Operand, draft: Draft, channels: int, dims: int, dim: int) -> Array | None:
    """The values of a number, or of a constant that differs along one dim alone."""
    if isinstance(operand, (bool, int, float)):
        return np.full(channels, float(operand))
    array = draft.array(operand)
    if array is None or array.dtype.kind not in "fiu" or array.ndim > dims:
        return None
    whole = array.reshape((1,) * (dims - array.ndim) + array.shape)
    if any(size != 1 for d, size in enumerate(whole.shape) if d != dim % dims):
        return None
    return np.broadcast_to(whole.reshape(-1).astype(np.float64), (channels,))


def _scale_and_shift(op: str, values: Array, turned: bool) -> tuple[Array, Array]:
    ones, zeros = np.ones(len(values)), np.zeros(len(values))
    if op == "add":
        return ones, values
    if op == "sub":
        return (-ones, values) if turned else (ones, -values)
    return (values if op == "mul" else 1 / values), zeros


def _norm(node: Node, draft: Draft) -> Scaling | None:
    x, *rest = node.inputs
    arrays = [None if operand is None else draft.array(operand) for operand in rest]
    if not isinstance(x, Value) or any(o is not None and a is None for o, a in zip(rest, arrays, strict=True)):
        return None
    if node.op == "affine_nhwc":
        scale, shift = (np.asarray(a, np.float64) for a in arrays)
        return None if node.attributes["activation"] else Scaling(x, scale, shift)
    weight, bias, mean, variance = (None if a is None else a.astype(np.float64) for a in arrays)
    assert mean is not None and variance is not None
    scale = (1 if weight is None else weight) / np.sqrt(variance + node.attributes["eps"])
    return Scaling(x, scale, (0 if bias is None else bias) - mean * scale)


def _into_previous(node: Node, draft: Draft) -> Node:
    """The layer before a scaling, with that in its weights; else the node itself."""
    for dim in (1, -1):
        found = scaling_of(node, draft, dim)
        layer = draft.maker(found.x) if found else None
        if (
            found is not None and layer is not None and _is_known(layer, draft) and draft.is_between(found.x)
            and dim % len(node.output.shape) == _channel_dim(layer)
        ):  # fmt: skip
            return _scaled_after(layer, node, found, draft)
    return node


def _is_known(layer: Node, draft: Draft) -> bool:
    """Whether a node is a layer with constant weights of a dtype that can be folded into."""
    if layer.op not in WEIGHTED or layer.output.dtype not in (float32, float64):
        return False
    weight, bias = draft.array(layer.inputs[1]), layer.inputs[2] if len(layer.inputs) > 2 else None
    return weight is not None and weight.ndim > 1 and (bias is None or draft.array(bias) is not None)


def _channel_dim(layer: Node) -> int:
    return len(layer.output.shape) - 1 if layer.op == "linear" else 1


def _names(layer: Node) -> tuple[Value, Value | None, str, str]:
    """The weight, the bias, and the names of what they become."""
    weight, bias = layer.inputs[1], layer.inputs[2] if len(layer.inputs) > 2 else None
    assert isinstance(weight, Value) and (bias is None or isinstance(bias, Value))
    return weight, bias, weight.name, bias_beside(weight) if bias is None else bias.name


def _scaled_after(layer: Node, node: Node, found: Scaling, draft: Draft) -> Node:
    weight, bias, weight_name, bias_name = _names(layer)
    old, dtype = draft.constants[weight.name], layer.output.dtype.numpy

    def scaled() -> Array:
        return np.asarray(old * _by_output(found.scale, layer, old)).astype(dtype)

    def shifted() -> Array:
        return np.asarray(found.shift + (0 if bias is None else draft.constants[bias.name] * found.scale)).astype(dtype)

    key = (weight.name, bias and bias.name, found.scale.tobytes(), found.shift.tobytes())
    new = draft.derived(weight_name, ("scaled", *key), scaled), draft.derived(bias_name, ("shifted", *key), shifted)
    return replace(layer, inputs=(layer.inputs[0], *new), outputs=node.outputs)


def _by_output(values: Array, layer: Node, weight: Array) -> Array:
    """One value for each output, to multiply the weights by."""
    if layer.op != "conv_transpose":
        return values.reshape(-1, *(1,) * (weight.ndim - 1))
    groups = layer.attributes["groups"]
    made = np.repeat(values.reshape(groups, -1), len(weight) // groups, axis=0)
    return made.reshape(*made.shape, *(1,) * (weight.ndim - 2))


def _into_next(layer: Node, draft: Draft) -> Node:
    """A layer with the scalings before it in its weights."""
    while layer.op != "conv_transpose" and _is_known(layer, draft):
        before = draft.maker(layer.inputs[0])
        found = scaling_of(before, draft, 1 if layer.op == "conv" else -1) if before else None
        if found is None or not draft.is_between(layer.inputs[0]):
            return layer
        if layer.op == "conv" and any(map(any, layer.attributes["padding"])) and found.shift.any():
            return layer
        layer = _scaled_before(layer, found, draft)
    return layer


def _scaled_before(layer: Node, found: Scaling, draft: Draft) -> Node:
    weight, bias, weight_name, bias_name = _names(layer)
    old, dtype = draft.constants[weight.name], layer.output.dtype.numpy
    groups = layer.attributes.get("groups", 1)

    def by_input(values: Array) -> Array:
        """One value for each output and the channels that it sees, to multiply the weights by."""
        seen = np.repeat(values.reshape(groups, -1), len(old) // groups, axis=0)
        return seen.reshape(*seen.shape, *(1,) * (old.ndim - 2))

    def scaled() -> Array:
        return np.asarray(old * by_input(found.scale)).astype(dtype)

    def shifted() -> Array:
        total = (old * by_input(found.shift)).reshape(len(old), -1).sum(axis=1)
        return np.asarray(total + (0 if bias is None else draft.constants[bias.name])).astype(dtype)

    key = (weight.name, bias and bias.name, found.scale.tobytes(), found.shift.tobytes())
    new = (
        draft.derived(weight_name, ("scaled before", *key), scaled),
        draft.derived(bias_name, ("shifted before", *key), shifted),
    )
    return replace(layer, inputs=(found.x, *new))
