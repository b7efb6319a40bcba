"""Writing what arranges, picks or folds elements."""

from __future__ import annotations

import numpy as np

from ...dtype import bool_, float32, int64
from ...graph.ir import Extent, Node, Size, Value
from .writer import Writer, rule, unsupported

_END = np.iinfo(np.int64).max


def shape_of(node: Node, place: int = 0) -> tuple[Size, ...]:
    """The shape of an operand that is a value."""
    value = node.inputs[place]
    assert isinstance(value, Value)
    return value.shape


@rule("reshape")
def reshape(w: Writer, node: Node) -> None:
    """Another shape."""
    w.reshape(w.read(node.inputs[0]), node.output.shape, node.output.name)


@rule("permute")
def permute(w: Writer, node: Node) -> None:
    """Another order of the dims."""
    dims = [d % max(1, len(node.output.shape)) for d in node.attributes["dims"]]
    w.node("Transpose", [w.read(node.inputs[0])], node.output.name, perm=dims)


@rule("expand")
def expand(w: Writer, node: Node) -> None:
    """Sizes of 1 stretched."""
    w.node("Expand", [w.read(node.inputs[0]), w.sizes(node.output.shape)], node.output.name)


@rule("cat")
def cat(w: Writer, node: Node) -> None:
    """One behind the other."""
    parts = [w.read(o, node.output.dtype) for o in node.inputs if isinstance(o, Value) and o.shape != (0,)]
    dim = node.attributes.get("dim", 0) % len(node.output.shape)
    w.node("Concat", parts, node.output.name, axis=dim)


@rule("stack")
def stack(w: Writer, node: Node) -> None:
    """Side by side along a new dim."""
    dim = node.attributes.get("dim", 0) % len(node.output.shape)
    parts = [w.node("Unsqueeze", [w.read(o, node.output.dtype), w.whole(dim)]) for o in node.inputs]
    w.node("Concat", parts, node.output.name, axis=dim)


@rule("flip")
def flip(w: Writer, node: Node) -> None:
    """The order turned round."""
    dims = [d % len(node.output.shape) for d in node.attributes["dims"]]
    ends = [w.whole(*[number] * len(dims)) for number in (-1, -_END, -1)]
    w.node("Slice", [w.read(node.inputs[0]), ends[0], ends[1], w.whole(*dims), ends[2]], node.output.name)


@rule("repeat")
def repeat(w: Writer, node: Node) -> None:
    """The whole so many times."""
    x, repeats = w.read(node.inputs[0]), node.attributes["repeats"]
    extra = len(repeats) - len(shape_of(node))
    if extra > 0:
        x = w.node("Unsqueeze", [x, w.whole(*range(extra))])
    w.node("Tile", [x, w.sizes(repeats)], node.output.name)


@rule("roll")
def roll(w: Writer, node: Node) -> None:
    """Elements moved, those that fall off coming back at the other end."""
    shape, dims = shape_of(node), node.attributes.get("dims")
    if dims is None:
        raise unsupported("roll over all dims at once")
    name = w.read(node.inputs[0])
    for shift, dim in zip(node.attributes["shifts"], dims, strict=True):
        size = shape[dim]
        if isinstance(size, Extent):
            raise unsupported("roll along the batch")
        at = -shift % size if size else 0
        ends = [(at, size), (0, at)]
        name = w.node("Concat", [_slice(w, name, dim, *end) for end in ends], axis=dim)
    w.node("Identity", [name], node.output.name)


def _slice(w: Writer, name: str, dim: int, start: int, stop: int) -> str:
    return w.node("Slice", [name, w.whole(start), w.whole(stop), w.whole(dim)])


@rule("one_hot")
def one_hot(w: Writer, node: Node) -> None:
    """A 1 at the class that each element names."""
    depth = w.sizes([node.output.shape[-1]])
    w.node("OneHot", [w.read(node.inputs[0]), depth, w.whole(0, 1)], node.output.name, axis=-1)


_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@rule("pad")
def pad(w: Writer, node: Node) -> None:
    """Room around."""
    widths = node.attributes["widths"]
    sizes = w.sizes([*(before for before, _ in widths), *(after for _, after in widths)])
    value = w.constant(node.attributes.get("value", 0.0), node.output.dtype.numpy)
    mode = _MODES[node.attributes.get("mode", "constant")]
    w.node("Pad", [w.read(node.inputs[0]), sizes, value], node.output.name, mode=mode)


@rule("tril", "triu")
def triangle(w: Writer, node: Node) -> None:
    """Part of a matrix."""
    offset = w.constant(node.attributes.get("diagonal", 0), np.int64)
    w.node("Trilu", [w.read(node.inputs[0]), offset], node.output.name, upper=int(node.op == "triu"))


@rule("getitem")
def getitem(w: Writer, node: Node) -> None:
    """Slices, then single places, then new dims."""
    name, dim = w.read(node.inputs[0]), 0
    starts: list[Size] = []
    ends: list[Size] = []
    dims, steps, gone, new = [], [], [], []
    at = 0
    for item in node.attributes["index"]:
        if item is None:
            new.append(at)
            at += 1
            continue
        if isinstance(item, slice):
            if item != slice(None) and (item.start, item.stop, item.step) != (None, None, 1):
                starts.append(0 if item.start is None else item.start)
                ends.append(_END if item.stop is None else item.stop)
                dims.append(dim)
                steps.append(item.step or 1)
            at += 1
        else:
            starts.append(item)
            after = Extent(item.a, item.b + 1) if isinstance(item, Extent) else item + 1
            ends.append(_END if after == 0 else after)
            dims.append(dim)
            steps.append(1)
            gone.append(dim)
        dim += 1
    if dims:
        name = w.node("Slice", [name, w.sizes(starts), w.sizes(ends), w.whole(*dims), w.whole(*steps)])
    if gone:
        name = w.node("Squeeze", [name, w.whole(*gone)])
    if new:
        name = w.node("Unsqueeze", [name, w.whole(*new)])
    w.node("Identity", [name], node.output.name)


@rule("embedding")
def embedding(w: Writer, node: Node) -> None:
    """Rows of a table."""
    w.node("Gather", [w.read(o) for o in node.inputs], node.output.name, axis=0)


@rule("index")
def index(w: Writer, node: Node) -> None:
    """Places along one dim, or along the first ones together."""
    x, *positions = node.inputs
    dims = node.attributes["dims"]
    if len(dims) == 1:
        w.node("Gather", [w.read(x), w.read(positions[0])], node.output.name, axis=dims[0])
        return
    if list(dims) != list(range(len(dims))) or len({p.shape for p in positions if isinstance(p, Value)}) != 1:
        raise unsupported("an index along several dims that are not the first, or of positions that broadcast")
    columns = [w.node("Unsqueeze", [w.read(p, int64), w.whole(-1)]) for p in positions]
    w.node("GatherND", [w.read(x), w.node("Concat", columns, axis=-1)], node.output.name)


@rule("index_put")
def index_put(w: Writer, node: Node) -> None:
    """Values put or added at places along the first dims."""
    x, value, *positions = node.inputs
    dims = node.attributes["dims"]
    shapes = [p.shape for p in positions if isinstance(p, Value)]
    whole = (*shapes[0], *shape_of(node)[len(dims) :]) if shapes else ()
    if list(dims) != list(range(len(dims))) or len(set(shapes)) != 1:
        raise unsupported("index_put along dims that are not the first, or at positions that broadcast")
    columns = [w.node("Unsqueeze", [w.read(p, int64), w.whole(-1)]) for p in positions]
    new = w.node("Expand", [w.read(value, node.output.dtype), w.sizes(whole)])
    reduction = "add" if node.attributes.get("accumulate") else None
    names = [w.read(x), w.node("Concat", columns, axis=-1), new]
    w.node("ScatterND", names, node.output.name, reduction=reduction)


@rule("gather")
def gather(w: Writer, node: Node) -> None:
    """Elements by an index along a dim."""
    w.node("GatherElements", [w.read(o) for o in node.inputs], node.output.name, axis=node.attributes["dim"])


@rule("scatter", "scatter_add")
def scatter(w: Writer, node: Node) -> None:
    """Elements put where an index says."""
    x, places, value = node.inputs
    if not isinstance(value, Value) or shape_of(node, 1) != value.shape:
        raise unsupported("scatter of values whose shape is not the index's")
    names = [w.read(x), w.read(places), w.read(value, node.output.dtype)]
    reduction = "add" if node.op == "scatter_add" else None
    w.node("ScatterElements", names, node.output.name, axis=node.attributes["dim"], reduction=reduction)


# Folding

FOLDS = {
    "sum": "ReduceSum", "mean": "ReduceMean", "prod": "ReduceProd", "amax": "ReduceMax", "amin": "ReduceMin",
    "logsumexp": "ReduceLogSumExp",
}  # fmt: skip


def _axes(node: Node) -> tuple[int, ...]:
    dim, ndim = node.attributes.get("dim"), len(shape_of(node))
    dims = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    return tuple(d % max(1, ndim) for d in dims)


def fold(w: Writer, op: str, x: str, node: Node, output: str | None = None, keep: bool | None = None) -> str:
    """A Reduce operator over the node's dims."""
    axes = _axes(node)
    if not shape_of(node):
        return w.node("Identity", [x], output)
    keep = bool(node.attributes.get("keepdim", False)) if keep is None else keep
    return w.node(op, [x, w.whole(*axes)], output, keepdims=int(keep))


@rule(*FOLDS)
def reduction(w: Writer, node: Node) -> None:
    """Dims folded."""
    fold(w, FOLDS[node.op], w.read(node.inputs[0], node.output.dtype), node, node.output.name)


@rule("any", "all")
def truth(w: Writer, node: Node) -> None:
    """Whether any or all hold."""
    number = w.cast(w.read(node.inputs[0], bool_), float32)
    w.cast(fold(w, "ReduceMax" if node.op == "any" else "ReduceMin", number, node), node.output.dtype, node.output.name)


@rule("norm")
def norm(w: Writer, node: Node) -> None:
    """The sum of sizes, or the root of the sum of squares."""
    operators = {1: "ReduceL1", 2: "ReduceL2"}
    p = node.attributes.get("p", 2)
    if p not in operators:
        raise unsupported(f"a norm of order {p}")
    fold(w, operators[p], w.read(node.inputs[0]), node, node.output.name)


@rule("var", "std")
def variance(w: Writer, node: Node) -> None:
    """The mean squared distance from the mean, or its root."""
    x, shape, axes = w.read(node.inputs[0]), shape_of(node), _axes(node)
    count = 1
    for axis in axes:
        size = shape[axis]
        if isinstance(size, Extent):
            raise unsupported("a variance over the batch")
        count *= size
    centred = w.node("Sub", [x, fold(w, "ReduceMean", x, node, keep=True)])
    squares = fold(w, "ReduceSum", w.node("Mul", [centred, centred]), node)
    rest = w.constant(max(count - node.attributes.get("correction", 1), 0), node.output.dtype.numpy)
    if node.op == "var":
        w.node("Div", [squares, rest], node.output.name)
    else:
        w.node("Sqrt", [w.node("Div", [squares, rest])], node.output.name)


@rule("argmax", "argmin")
def place(w: Writer, node: Node) -> None:
    """Where the greatest or least is."""
    op = "ArgMax" if node.op == "argmax" else "ArgMin"
    x, dim = w.read(node.inputs[0]), node.attributes.get("dim")
    if dim is None:
        flat = w.node("Reshape", [x, w.whole(-1)])
        w.node(op, [flat], node.output.name, axis=0, keepdims=0)
        return
    w.node(op, [x], node.output.name, axis=dim, keepdims=int(node.attributes.get("keepdim", False)))


@rule("max_dim", "min_dim")
def extreme(w: Writer, node: Node) -> None:
    """The greatest or least along a dim, and where it is."""
    x, keep = w.read(node.inputs[0]), int(node.attributes.get("keepdim", False))
    ops = ("ReduceMax", "ArgMax") if node.op == "max_dim" else ("ReduceMin", "ArgMin")
    (dim,) = _axes(node)
    w.node(ops[0], [x, w.whole(dim)], node.outputs[0].name, keepdims=keep)
    w.node(ops[1], [x], node.outputs[1].name, axis=dim, keepdims=keep)


@rule("topk", "sort")
def ordered(w: Writer, node: Node) -> None:
    """The greatest or least in order, and where they are."""
    dim = node.attributes.get("dim", -1) % max(1, len(shape_of(node)))
    if node.op == "topk":
        count, down = w.sizes([node.attributes["k"]]), node.attributes.get("largest", True)
    else:
        count, down = w.sizes([shape_of(node)[dim]]), node.attributes.get("descending", False)
    w.node("TopK", [w.read(node.inputs[0]), count], [o.name for o in node.outputs], axis=dim, largest=int(down))


@rule("softmax", "log_softmax")
def softmax(w: Writer, node: Node) -> None:
    """Chances along a dim."""
    op = "Softmax" if node.op == "softmax" else "LogSoftmax"
    x = w.read(node.inputs[0], node.output.dtype)
    w.node(op, [x], node.output.name, axis=node.attributes["dim"])


@rule("cumsum")
def cumsum(w: Writer, node: Node) -> None:
    """The sums of all up to each."""
    dim = w.constant(node.attributes["dim"], np.int64)
    w.node("CumSum", [w.read(node.inputs[0], node.output.dtype), dim], node.output.name)
