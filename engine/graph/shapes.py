"""check_shapes(), which holds a graph's shapes against what its operations give, before memory is laid out by them.

There is a rule for every operation that executors compute in ways of their own, which believe a step's shapes. The
others run through their primitive, whose result NumPy compares with where it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ..errors import ShapeError
from .inference import ELEMENTWISE, VIEWS, outline, outlines_of
from .inference import RULES as OUTLINES
from .ir import Graph, Node, Value

Sizes = tuple[int, ...]
Rule = Callable[[Node], Sequence[Sizes]]


def check_shapes(graph: Graph) -> None:
    """Go through a graph of plain sizes, or one for every batch at its two smallest.

    Raises: ShapeError, which names the operation and its layer.
    """
    for batch in (1, 2) if graph.polymorphic else (1,):
        for node in graph.at(batch).nodes:
            check_node(node)


def check_node(node: Node) -> None:
    """Refuse a node of plain sizes whose results are not of the shapes that it declares."""
    rule = rule_of(node.op)
    if rule is None:
        return
    declared = [_sizes(value) for value in node.outputs]
    try:
        given = [tuple(shape) for shape in rule(node)]
    except Exception as error:  # a border: operands and attributes may be anything
        raise ShapeError(f"{_called(node)} cannot be: {error}") from error
    if given != declared:
        raise ShapeError(f"{_called(node)} gives {_shown(given)}; met {_shown(declared)} in the graph")


def rule_of(op: str) -> Rule | None:
    """How the shapes of an operation's results are told, if they are."""
    plain = op.removesuffix("_act")
    return RULES.get(op) or (partial(_outlined, plain) if plain in OUTLINED else None)


def _outlined(op: str, node: Node) -> Sequence[Sizes]:
    operands = [outline(_sizes(i), i.dtype.numpy) if isinstance(i, Value) else i for i in node.inputs]
    attributes = {name: item for name, item in node.attributes.items() if name != "activation" or op == node.op}
    return [result.shape for result in outlines_of(op, operands, attributes)]


def _called(node: Node) -> str:
    met = ", ".join(str(_sizes(i)) if isinstance(i, Value) else str(i) for i in node.inputs)
    return f"{node.op} of {met} (layer {node.layer or '-'})"


def _shown(shapes: Sequence[Sizes]) -> str:
    return " and ".join(map(str, shapes))


def _sizes(value: Value) -> Sizes:
    sizes = tuple(int(size) for size in value.shape)  # type: ignore[arg-type]
    if min(sizes, default=0) < 0:
        raise ShapeError(f"{value.name!r} has a negative size: {sizes}")
    return sizes


def _operand(node: Node, number: int) -> Value:
    operand = node.inputs[number]
    if not isinstance(operand, Value):
        raise ShapeError(f"operand {number} is {operand}; expected a value")
    return operand


def _shape(node: Node, number: int = 0) -> Sizes:
    return _sizes(_operand(node, number))


def _expect(node: Node, number: int, *allowed: Sizes) -> None:
    """An operand that may be missing is of one of these shapes."""
    operand = node.inputs[number] if number < len(node.inputs) else None
    if operand is not None and _shape(node, number) not in allowed:
        raise ShapeError(f"operand {number} is of {_shape(node, number)}; expected {' or '.join(map(str, allowed))}")


def _same(node: Node) -> Sequence[Sizes]:
    return [_shape(node)]


def _along_channels(node: Node) -> Sequence[Sizes]:
    channels = _shape(node)[-1:]
    _expect(node, 1, channels)
    _expect(node, 2, channels)
    return _same(node)


def _normalized(node: Node) -> Sequence[Sizes]:
    last = _shape(node)[-node.attributes["dims"] :]
    for number in range(1, len(node.inputs)):
        _expect(node, number, last)
    return _same(node)


def _windows(node: Node, kernel: Sizes) -> Sizes:
    """How many windows there are down and across."""
    top, left, bottom, right = node.attributes["padding"]
    stride, dilation = node.attributes["stride"], node.attributes.get("dilation", (1, 1))
    if min(*stride, *dilation, *kernel) < 1 or min(top, left, bottom, right) < 0:
        raise ShapeError("sizes below 1, or padding below 0")
    room = [size + sum(sides) for size, sides in zip(_shape(node)[1:3], ((top, bottom), (left, right)), strict=True)]
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(span > size for span, size in zip(spans, room, strict=True)):
        raise ShapeError(f"windows of {tuple(spans)} are larger than images of {tuple(room)} with their padding")
    return tuple((size - span) // s + 1 for size, span, s in zip(room, spans, stride, strict=True))


def _convolved(node: Node) -> Sequence[Sizes]:
    (n, _, _, channels), (*kernel, depth, outputs) = _shape(node), _shape(node, 1)
    groups = node.attributes["groups"]
    if len(kernel) != 2 or groups < 1 or depth * groups != channels or outputs % groups:
        raise ShapeError(f"{channels} channels in {groups} groups do not fit the weight")
    out = (n, *_windows(node, tuple(kernel)), outputs)
    for number, allowed in enumerate([(outputs,), out, (channels,), (channels,)], 2):
        _expect(node, number, allowed)
    return [out]


def _pooled(node: Node) -> Sequence[Sizes]:
    n, _, _, channels = _shape(node)
    return [(n, *_windows(node, node.attributes["kernel"]), channels)]


def _mean(node: Node) -> Sequence[Sizes]:
    n, _, _, channels = _shape(node)
    return [(n, channels)]


def _multiplied(node: Node) -> Sequence[Sizes]:
    (*rows, depth), (features, outputs) = _shape(node), _shape(node, 1)
    if depth != features:
        raise ShapeError(f"{depth} features by a weight for {features}")
    out = (*rows, outputs)
    _expect(node, 2, (outputs,))
    _expect(node, 3, out)
    return [out]


def _attended(node: Node) -> Sequence[Sizes]:
    (*batch, length, width), (*_, keys, depth), (*_, values, out) = (_shape(node, number) for number in range(3))
    if width != depth or keys != values:
        raise ShapeError("q and k need the same last size, k and v the same number of rows")
    batch = list(np.broadcast_shapes(*[_shape(node, number)[:-2] for number in range(3)]))
    scores = (*batch, length, keys)
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        mask = _shape(node, 3)
        if np.broadcast_shapes(mask, scores) != scores:
            raise ShapeError(f"a mask of {mask} does not fit scores of {scores}")
    return [(*batch, length, out)]


def _looked_up(node: Node) -> Sequence[Sizes]:
    _, width = _shape(node)
    return [(*_shape(node, 1), width)]


def _recurrent(node: Node, gates: int) -> Sequence[Sizes]:
    (times, batch, features), (_, out) = _shape(node), _shape(node, 1)
    cell = _shape(node, 2)[1] if gates == 4 else out
    first = 3 if gates == 4 else 2
    rows = gates * cell
    wanted = [(rows, features), (rows, out), (rows,), (rows,), (out, cell)]
    _expect(node, 1, (batch, out))
    for number, allowed in enumerate(wanted, first):
        _expect(node, number, allowed)
    if gates == 4:
        _expect(node, 2, (batch, cell))
        if cell != out and (len(node.inputs) < 8 or node.inputs[7] is None):
            raise ShapeError(f"cells of {cell} without the weight that makes {out} of them")
    return [(times, batch, out), (batch, out), *([(batch, cell)] if gates == 4 else [])]


RULES: dict[str, Rule] = {
    **dict.fromkeys(("softmax", "log_softmax"), _same),
    **dict.fromkeys(("max_pool_nhwc", "avg_pool_nhwc"), _pooled),
    **dict.fromkeys(("layer_norm", "rms_norm"), _normalized),
    "affine_nhwc": _along_channels,
    "conv_nhwc": _convolved,
    "mean_nhwc": _mean,
    "gemm": _multiplied,
    "scaled_dot_product_attention": _attended,
    "embedding": _looked_up,
    "rnn": partial(_recurrent, gates=1),
    "gru": partial(_recurrent, gates=3),
    "lstm": partial(_recurrent, gates=4),
}
OUTLINED = (ELEMENTWISE | VIEWS | OUTLINES.keys()) - {"one_hot"}  # which asks for values where it counts classes
