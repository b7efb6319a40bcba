"""rows_apart(), which tells whether a graph treats each row of a batch by itself, so that batches may be cut.

A value's axis is the dim along which the batch lies, told by the one Extent in its shape. What is not known to keep
rows apart counts as mixing them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from ..ops import activation, comparison, elementwise, special, unary
from ..ops.primitive import Primitive
from .ir import Extent, Graph, Node, Value, each

Rule = Callable[[Node, list[Value]], bool]


class Mixed(Exception):
    """A value in which rows do not lie one behind the other along one dim."""


def rows_apart(graph: Graph) -> bool:
    """Whether row i of every output depends on row i of the inputs alone, and on inputs without rows."""
    try:
        ends = [axis_of(value) for value in (*graph.inputs, *graph.outputs)]
        return any(axis is not None for axis in ends) and all(map(_apart, graph.nodes))
    except Mixed:
        return False


def axis_of(value: Value) -> int | None:
    """The dim along which the batch lies; None for what has no rows."""
    found = [dim for dim, size in enumerate(value.shape) if isinstance(size, Extent)]
    if not found:
        return None
    size = value.shape[found[0]]
    if len(found) > 1 or (isinstance(size, Extent) and size.b):
        raise Mixed(str(value))
    return found[0]


def _apart(node: Node) -> bool:
    rows = [value for value in node.values if axis_of(value) is not None]
    outputs = [axis_of(output) for output in node.outputs]
    if not rows:
        return node.op == "expand" or not any(axis is not None for axis in outputs)
    rule = RULES.get(node.op)
    return rule is not None and None not in outputs and not _counts_rows(node) and rule(node, rows)


def _counts_rows(node: Node) -> bool:
    """Whether how many rows there are is more than a matter of shape, as in a division by it."""
    found = [item for item in node.inputs if isinstance(item, Extent)]
    if node.op not in ("reshape", "expand"):
        each(dict(node.attributes), lambda item: found.append(item) if isinstance(item, Extent) else None)
    return bool(found)


def _axis(value: Value) -> int:
    """The axis of a value that has one."""
    axis = axis_of(value)
    assert axis is not None, "asked for rows alone"
    return axis


def _from_right(value: Value) -> int:
    return len(value.shape) - _axis(value)


def _same_size(node: Node, value: Value) -> bool:
    return value.shape[_axis(value)] == node.output.shape[_axis(node.output)]


def _aligned(node: Node, rows: list[Value], beyond: int = 0) -> bool:
    """As broadcasting lines dims up, from the right; the rows lie before the last `beyond` dims."""
    place = _from_right(node.output)
    return place > beyond and all(_from_right(v) == place and _same_size(node, v) for v in rows)


def _normalized(node: Node, rows: list[Value]) -> bool:
    return _aligned(node, rows, node.attributes["dims"])


def _product(node: Node, rows: list[Value]) -> bool:
    """Matrices of each row's own, or rows times a matrix that all share."""
    alone = len(rows) == 1 and rows[0] is node.inputs[0]
    return _aligned(node, rows, 1 if alone else 2)


def _leading(node: Node, rows: list[Value]) -> bool:
    """Rows along the first dim of all of them."""
    return all(_axis(v) == 0 and _same_size(node, v) for v in (*rows, *node.outputs))


def _left_aligned(node: Node, rows: list[Value]) -> bool:
    """Dims added on the right to what is looked up."""
    looked_up = node.inputs[1 if node.op == "embedding" else 0]
    return rows == [looked_up] and _axis(rows[0]) == _axis(node.output) and _same_size(node, rows[0])


def _across(node: Node, rows: list[Value], default: int = -1) -> bool:
    """Along dims of which the batch is none."""
    dims = node.attributes.get("dims" if node.op == "flip" else "dim", default)
    axis, ndim = _axis(rows[0]), len(rows[0].shape)
    along = dims if isinstance(dims, (tuple, list)) else (dims,)
    if any(d is None or d % ndim == axis for d in along):
        return False
    return all(_axis(v) == axis and _same_size(node, v) for v in rows)


def _gathered(node: Node, rows: list[Value]) -> bool:
    """Out of each row by its own positions; out of a table it would be by the row's place."""
    return len(rows) == 2 and _across(node, rows)


def _picked(node: Node, rows: list[Value]) -> bool:
    """By the same positions in every row."""
    return rows == [node.inputs[0]] and _axis(rows[0]) not in node.attributes["dims"] and _same_size(node, rows[0])


def _stacked(node: Node, rows: list[Value]) -> bool:
    dim = node.attributes.get("dim", 0) % len(node.output.shape)
    return all(_axis(v) + (dim <= _axis(v)) == _axis(node.output) for v in rows)


def _reshaped(node: Node, rows: list[Value]) -> bool:
    """With as many elements before the rows as there were."""
    source, out = rows[0], node.output
    return _before(source) == _before(out)


def _before(value: Value) -> int:
    return math.prod(int(size) for size in value.shape[: _axis(value)] if isinstance(size, int))


def _turned(node: Node, rows: list[Value]) -> bool:
    source: int = node.attributes["dims"][_axis(node.output)]
    return source % len(rows[0].shape) == _axis(rows[0])


def _padded(node: Node, rows: list[Value]) -> bool:
    return _aligned(node, rows) and tuple(node.attributes["widths"][_axis(rows[0])]) == (0, 0)


def _placed(node: Node, rows: list[Value]) -> bool:
    """A part of every row replaced."""
    whole = [v for v in rows if v is node.inputs[0]]
    part = node.inputs[1]
    view = node.attributes["view"].name
    if len(whole) != 1 or not isinstance(part, Value) or axis_of(part) is None or view not in ("getitem", "permute"):
        return False
    return part.shape[_axis(part)] == whole[0].shape[_axis(whole[0])]


def _set(node: Node, rows: list[Value]) -> bool:
    """As _placed, where an index of numbers and slices says what."""
    x, index = node.inputs[0], node.attributes["index"]
    if not isinstance(x, Value) or x not in rows or None in index:
        return False
    axis = _axis(x)
    numbers = [dim for dim, item in enumerate(index) if isinstance(item, int)]
    behind = len(x.shape) - axis - sum(dim > axis for dim in numbers)
    whole = axis >= len(index) or index[axis] == slice(None)
    return whole and all(v is x or (_from_right(v) == behind and _same_size(node, v)) for v in rows)


def _recurrent(node: Node, rows: list[Value]) -> bool:
    """Times, then rows; rows first in states."""
    x = node.inputs[0]
    states = [v for v in rows if v is not x]
    lengths = node.attributes.get("lengths")
    return lengths is None and x in rows and all(_axis(v) == (v is x) for v in (*states, x))


def _every(node: Node, rows: list[Value]) -> bool:
    """A view that leaves as many rows as there were, in their order."""
    return _same_size(node, rows[0])


_ELEMENTWISE = {
    row.name
    for family in (activation, comparison, elementwise, special, unary)
    for row in vars(family).values()
    if isinstance(row, Primitive)
}
RULES: dict[str, Rule] = {
    **{name + suffix: _aligned for name in _ELEMENTWISE for suffix in ("", "_act")},
    **dict.fromkeys(("affine_nhwc", "expand", "overwrite"), _aligned),
    **dict.fromkeys(("linear", "gemm"), partial(_aligned, beyond=1)),
    **dict.fromkeys(("tril", "triu", "scaled_dot_product_attention"), partial(_aligned, beyond=2)),
    **dict.fromkeys(("layer_norm", "rms_norm"), _normalized),
    **dict.fromkeys(
        (
            "conv", "conv_transpose", "conv_nhwc", "batch_norm", "group_norm", "local_response_norm", "max_pool",
            "max_pool_indices", "avg_pool", "adaptive_max_pool", "adaptive_max_pool_indices", "max_pool_nhwc",
            "avg_pool_nhwc", "mean_nhwc", "interpolate", "pixel_shuffle", "pixel_unshuffle",
        ),
        _leading,
    ),  # fmt: skip
    **dict.fromkeys(
        (
            "sum", "mean", "prod", "amax", "amin", "argmax", "argmin", "max_dim", "min_dim", "any", "all", "var", "std",
            "norm", "logsumexp", "softmax", "log_softmax", "cumsum", "cumprod", "sort", "topk", "kthvalue", "median",
            "cummax", "cummin", "window", "flip",
        ),
        _across,
    ),  # fmt: skip
    **dict.fromkeys(("rnn", "lstm", "gru"), _recurrent),
    **dict.fromkeys(("embedding", "one_hot"), _left_aligned),
    "cat": partial(_across, default=0),
    "gather": _gathered,
    "index": _picked,
    "stack": _stacked,
    "matmul": _product,
    "reshape": _reshaped,
    "permute": _turned,
    "getitem": _every,
    "pad": _padded,
    "place": _placed,
    "setitem": _set,
}  # fmt: skip
