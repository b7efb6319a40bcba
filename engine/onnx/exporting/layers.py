"""Writing the layers of networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...dtype import Array
from ...graph.ir import Extent, Node, Operand, Value
from ...ops.matmul import labels_of
from ...ops.upsampling import matrices
from .shaping import shape_of
from .writer import Writer, rule, unsupported


def _pads(padding: Sequence[tuple[int, int]]) -> list[int]:
    return [*(before for before, _ in padding), *(after for _, after in padding)]


@rule("conv")
def conv(w: Writer, node: Node) -> None:
    """Cross-correlation."""
    a = node.attributes
    w.node(
        "Conv", [w.read(o) for o in node.inputs], node.output.name,
        kernel_shape=list(shape_of(node, 1)[2:]), strides=list(a["stride"]), pads=_pads(a["padding"]),
        dilations=list(a["dilation"]), group=a["groups"],
    )  # fmt: skip


@rule("conv_transpose")
def conv_transpose(w: Writer, node: Node) -> None:
    """The transpose of a convolution."""
    a = node.attributes
    w.node(
        "ConvTranspose", [w.read(o) for o in node.inputs], node.output.name,
        kernel_shape=list(shape_of(node, 1)[2:]), strides=list(a["stride"]), pads=_pads(a["padding"]),
        dilations=list(a["dilation"]), group=a["groups"], output_padding=list(a["output_padding"]),
    )  # fmt: skip


def _pool(w: Writer, node: Node) -> dict[str, object]:
    """The windows of a pool. ONNX rounds their number up in another way, so that is said by padding."""
    a = node.attributes
    kernel, stride, padding = a["kernel"], a["stride"], a["padding"]
    dilation = a.get("dilation", (1,) * len(kernel))
    if a["ceil_mode"]:
        sizes, counts = (_fixed(shape[-len(kernel) :]) for shape in (shape_of(node), node.output.shape))
        padding = tuple(
            (before, max(0, (count - 1) * s + d * (k - 1) + 1 - size - before))
            for (before, _), count, s, d, k, size in zip(padding, counts, stride, dilation, kernel, sizes, strict=True)
        )
    return {"kernel_shape": list(kernel), "strides": list(stride), "pads": _pads(padding)}


@rule("max_pool")
def max_pool(w: Writer, node: Node) -> None:
    """The greatest of each window."""
    a = node.attributes
    x, finish = _images(w, node, len(a["kernel"]))
    pooled = w.node("MaxPool", [x], finish.first, **_pool(w, node), dilations=list(a["dilation"]))
    finish.end(w, pooled)


@rule("avg_pool")
def avg_pool(w: Writer, node: Node) -> None:
    """The mean of each window, or its sum over a divisor."""
    a = node.attributes
    x, finish = _images(w, node, len(a["kernel"]))
    divisor = a["divisor"]
    if a["ceil_mode"] and divisor is None and a["count_include_pad"] and any(map(any, a["padding"])):
        raise unsupported("avg_pool with ceil_mode that counts the padding")
    pooled = w.node(
        "AveragePool", [x], finish.first if divisor is None else None, **_pool(w, node),
        count_include_pad=int(divisor is not None or (a["count_include_pad"] and not a["ceil_mode"])),
    )  # fmt: skip
    if divisor is not None:
        factor = w.constant(math.prod(a["kernel"]) / divisor, node.output.dtype.numpy)
        pooled = w.node("Mul", [pooled, factor], finish.first)
    finish.end(w, pooled)


class _Finish:
    """How a pool without a batch of images is brought back to its shape."""

    def __init__(self, node: Node, batched: bool) -> None:
        self.node, self.batched = node, batched
        self.first = node.output.name if batched else None

    def end(self, w: Writer, name: str) -> None:
        if not self.batched:
            w.node("Squeeze", [name, w.whole(0)], self.node.output.name)


def _images(w: Writer, node: Node, dims: int) -> tuple[str, _Finish]:
    x = w.read(node.inputs[0])
    if len(shape_of(node)) == dims + 1:
        return w.node("Unsqueeze", [x, w.whole(0)]), _Finish(node, False)
    return x, _Finish(node, True)


@rule("adaptive_max_pool")
def adaptive_max_pool(w: Writer, node: Node) -> None:
    """Windows that divide the image evenly."""
    size = node.attributes["size"]
    sizes = shape_of(node)[-len(size) :]
    kernel = []
    for whole, count in zip(sizes, size, strict=True):
        if isinstance(whole, Extent) or whole % count:
            raise unsupported(f"adaptive_max_pool of {sizes} to {size}, whose windows are of different sizes")
        kernel.append(whole // count)
    x, finish = _images(w, node, len(size))
    finish.end(w, w.node("MaxPool", [x], finish.first, kernel_shape=kernel, strides=kernel))


@rule("linear")
def linear(w: Writer, node: Node) -> None:
    """x @ weightᵀ + bias."""
    x, weight, bias = (*node.inputs, None)[:3]
    if len(shape_of(node)) == 2 and len(shape_of(node, 1)) == 2:
        w.node("Gemm", [w.read(x), w.read(weight), w.read(bias)], node.output.name, transB=1)
        return
    product = w.node("MatMul", [w.read(x), _turned(w, weight)], None if bias is not None else node.output.name)
    if bias is not None:
        w.node("Add", [product, w.read(bias)], node.output.name)


def _turned(w: Writer, weight: Operand) -> str:
    """The transpose of a weight, as a constant of its own where it is one."""
    array = w.graph.constant(weight)
    assert isinstance(weight, Value)
    if array is None:
        return w.node("Transpose", [w.read(weight)])
    name = f"{weight.name}.turned"
    if name not in w.constants:
        w.constant(np.ascontiguousarray(array.T), name=name)
    return name


@rule("matmul")
def matmul(w: Writer, node: Node) -> None:
    """The product of matrices."""
    w.node("MatMul", [w.read(o) for o in node.inputs], node.output.name)


@rule("einsum")
def einsum(w: Writer, node: Node) -> None:
    """Products summed over labels, with those of "..." written out."""
    operands = tuple(np.empty((0,) * len(shape_of(node, n))) for n in range(len(node.inputs)))
    inputs, output = labels_of(node.attributes["equation"], operands)
    equation = f"{','.join(inputs)}->{output}"
    w.node("Einsum", [w.read(o) for o in node.inputs], node.output.name, equation=equation)


def _parameter(w: Writer, operand: Operand, like: Value, size: Sequence[int], fill: float) -> str:
    return w.constant(np.full(size, fill), like.dtype.numpy) if operand is None else w.read(operand)


def _fixed(sizes: Sequence[object]) -> list[int]:
    fixed = [size for size in sizes if isinstance(size, int)]
    if len(fixed) != len(sizes):
        raise unsupported("a normalisation over the batch")
    return fixed


@rule("batch_norm")
def batch_norm(w: Writer, node: Node) -> None:
    """Channels normalised by given statistics."""
    x, weight, bias, mean, variance = node.inputs
    channels = _fixed(shape_of(node)[1:2])
    names = [_parameter(w, weight, node.output, channels, 1), _parameter(w, bias, node.output, channels, 0)]
    inputs = [w.read(x), *names, w.read(mean), w.read(variance)]
    w.node("BatchNormalization", inputs, node.output.name, epsilon=float(node.attributes["eps"]))


@rule("layer_norm")
def layer_norm(w: Writer, node: Node) -> None:
    """The last dims normalised."""
    x, weight, bias = node.inputs
    dims = node.attributes["dims"]
    sizes = _fixed(shape_of(node)[-dims:])
    names = [w.read(x), _parameter(w, weight, node.output, sizes, 1), w.read(bias)]
    w.node("LayerNormalization", names, node.output.name, axis=-dims, epsilon=float(node.attributes["eps"]))


@rule("rms_norm")
def rms_norm(w: Writer, node: Node) -> None:
    """x over the root of its mean square."""
    x, weight = node.inputs
    dims, dtype = node.attributes["dims"], node.output.dtype.numpy
    name, eps = w.read(x), node.attributes["eps"]
    eps = float(np.finfo(dtype).eps) if eps is None else eps
    square = w.node("Mul", [name, name])
    mean = w.node("ReduceMean", [square, w.whole(*range(-dims, 0))], keepdims=1)
    root = w.node("Sqrt", [w.node("Add", [mean, w.constant(eps, dtype)])])
    if weight is None:
        w.node("Div", [name, root], node.output.name)
    else:
        w.node("Mul", [w.node("Div", [name, root]), w.read(weight)], node.output.name)


@rule("group_norm")
def group_norm(w: Writer, node: Node) -> None:
    """Groups of channels normalised, as instances of their own."""
    x, weight, bias = node.inputs
    groups, shape = node.attributes["groups"], node.output.shape
    eps = float(node.attributes["eps"])
    channels = _fixed(shape[1:2])
    if groups == channels[0]:
        names = [_parameter(w, weight, node.output, channels, 1), _parameter(w, bias, node.output, channels, 0)]
        w.node("InstanceNormalization", [w.read(x), *names], node.output.name, epsilon=eps)
        return
    whole = w.reshape(w.read(x), (shape[0], groups, math.prod(_fixed(shape[1:])) // groups))
    ones, zeros = (w.constant(np.full(groups, fill), node.output.dtype.numpy) for fill in (1, 0))
    unit = w.node("InstanceNormalization", [whole, ones, zeros], epsilon=eps)
    last = None if weight is not None or bias is not None else node.output.name
    unit = w.reshape(unit, shape, last)
    along = (-1, *(1,) * (len(shape) - 2))
    if weight is not None:
        factor = w.node("Reshape", [w.read(weight), w.whole(*along)])
        unit = w.node("Mul", [unit, factor], node.output.name if bias is None else None)
    if bias is not None:
        w.node("Add", [unit, w.node("Reshape", [w.read(bias), w.whole(*along)])], node.output.name)


@rule("local_response_norm")
def local_response_norm(w: Writer, node: Node) -> None:
    """Neighbouring channels weighed against one another."""
    a = node.attributes
    if not a["size"] % 2:
        raise unsupported("local_response_norm over an even number of channels")
    w.node(
        "LRN", [w.read(node.inputs[0])], node.output.name,
        size=a["size"], alpha=float(a["alpha"]), beta=float(a["beta"]), bias=float(a["k"]),
    )  # fmt: skip


@rule("scaled_dot_product_attention")
def attention(w: Writer, node: Node) -> None:
    """softmax(q kᵀ · scale + mask) v; a query that sees nothing gives zeros, as ours does."""
    q, k, v, mask = node.inputs
    dtype, ndim = node.output.dtype.numpy, len(shape_of(node, 1))
    turned = w.node("Transpose", [w.read(k)], perm=[*range(ndim - 2), ndim - 1, ndim - 2])
    scaled = w.node("Mul", [w.read(q), w.constant(node.attributes["scale"], dtype)])
    scores = w.node("MatMul", [scaled, turned])
    least = w.constant(-np.inf, dtype)
    if node.attributes.get("causal"):
        rows, columns = _fixed([shape_of(node)[-2], shape_of(node, 1)[-2]])
        scores = w.node("Where", [w.constant(np.tri(rows, columns, dtype=bool)), scores, least])
    hides = False
    if isinstance(mask, Value):
        hides = True
        if mask.dtype.name == "bool":
            scores = w.node("Where", [w.read(mask), scores, least])
        else:
            scores = w.node("Add", [scores, w.read(mask)])
    chances = w.node("Softmax", [scores], axis=-1)
    if hides:
        chances = w.node("Where", [w.node("IsNaN", [chances]), w.constant(0, dtype), chances])
    w.node("MatMul", [chances, w.read(v)], node.output.name)


@rule("interpolate")
def interpolate(w: Writer, node: Node) -> None:
    """Other sizes."""
    a, shape = node.attributes, shape_of(node)
    mode, align, scales = a["mode"], a.get("align_corners", False), a.get("scales")
    if mode not in ("nearest", "linear", "cubic"):
        _by_matrices(w, node)
        return
    how = "asymmetric" if mode == "nearest" else "align_corners" if align else "pytorch_half_pixel"
    sizes = list(a["size"])
    if any(isinstance(s, Extent) for s in sizes):
        raise unsupported("interpolate along the batch")
    extra = len(shape) - len(sizes)
    before = _fixed(shape[extra:])
    given = scales or (None,) * len(sizes)
    if any(s is not None for s in given):
        factors = [1.0] * extra + [
            s if s is not None else n / m for s, n, m in zip(given, sizes, before, strict=True)
        ]  # fmt: skip
        inputs = [w.read(node.inputs[0]), "", w.constant(np.array(factors, np.float32))]
    else:
        inputs = [w.read(node.inputs[0]), "", "", w.sizes([*shape[:extra], *sizes])]
    w.node(
        "Resize", inputs, node.output.name, mode=mode, coordinate_transformation_mode=how,
        nearest_mode="floor" if mode == "nearest" else None, cubic_coeff_a=-0.75 if mode == "cubic" else None,
    )  # fmt: skip


def _by_matrices(w: Writer, node: Node) -> None:
    """The ways of resizing that ONNX lacks: means of windows that are all alike as a pool, else a matrix a dim."""
    a, shape = node.attributes, shape_of(node)
    outs = _fixed(a["size"])
    first = len(shape) - len(outs)
    sizes = _fixed(shape[first:])
    if a["mode"] == "area" and first == 2 and all(n % out == 0 for n, out in zip(sizes, outs, strict=True)):
        kernel = [n // out for n, out in zip(sizes, outs, strict=True)]
        w.node("AveragePool", [w.read(node.inputs[0])], node.output.name, kernel_shape=kernel, strides=kernel)
        return
    name = w.read(node.inputs[0])
    made = matrices(tuple(sizes), tuple(outs), a["mode"], a.get("align_corners", False), a.get("scales"))
    for axis, matrix in enumerate(made, first):
        if matrix is not None:
            turned = [*(d for d in range(len(shape)) if d != axis), axis]
            moved = w.node("Transpose", [name], perm=turned)
            product = w.node("MatMul", [moved, w.constant(matrix.T, node.output.dtype.numpy)])
            name = w.node("Transpose", [product], perm=np.argsort(turned).tolist())
    w.node("Identity", [name], node.output.name)


@rule("pixel_unshuffle")
def pixel_unshuffle(w: Writer, node: Node) -> None:
    """The image's blocks moved into channels."""
    shape, by = shape_of(node), node.attributes["factor"]
    if len(shape) != 4:
        raise unsupported("pixel_unshuffle of other than batches of images")
    channels, height, width = _fixed(shape[1:])
    apart = w.reshape(w.read(node.inputs[0]), (shape[0], channels, height // by, by, width // by, by))
    turned = w.node("Transpose", [apart], perm=[0, 1, 3, 5, 2, 4])
    w.reshape(turned, node.output.shape, node.output.name)


@rule("pixel_shuffle")
def pixel_shuffle(w: Writer, node: Node) -> None:
    """Channels moved into the image."""
    if len(shape_of(node)) != 4:
        raise unsupported("pixel_shuffle of other than batches of images")
    by = node.attributes["factor"]
    w.node("DepthToSpace", [w.read(node.inputs[0])], node.output.name, blocksize=by, mode="CRD")


# Recurrent layers: our gates in ONNX's order.
_ORDERS = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}


@rule("rnn", "gru", "lstm")
def recurrent(w: Writer, node: Node) -> None:
    """One layer in one direction."""
    a, order = node.attributes, _ORDERS[node.op]
    states = 2 if node.op == "lstm" else 1
    x, *rest = node.inputs
    first, weights = rest[:states], rest[states : states + 4]
    if node.op == "lstm" and node.inputs[7] is not None:
        raise unsupported("an LSTM with a projection")
    size = shape_of(node, 1)[-1]
    assert isinstance(size, int)
    w_ih, w_hh = (_gates(w, weight, order, size) for weight in weights[:2])
    biases = _biases(w, weights[2:], order, size, node)
    lengths = "" if a.get("lengths") is None else w.constant(np.array(a["lengths"], np.int32))
    starts = [w.node("Unsqueeze", [w.read(state), w.whole(0)]) for state in first]
    names = [w.read(x), w_ih, w_hh, biases, lengths, *starts]
    raw = [w.node_name() for _ in range(1 + states)]
    w.node(
        {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}[node.op], names, raw, hidden_size=size,
        direction="reverse" if a.get("reverse") else "forward", linear_before_reset=1 if node.op == "gru" else None,
        activations=["Relu"] if a.get("nonlinearity") == "relu" else None,
    )  # fmt: skip
    for name, output, dim in zip(raw, node.outputs, (1, 0, 0), strict=False):
        w.node("Squeeze", [name, w.whole(dim)], output.name)


def _gates(w: Writer, weight: Operand, order: Sequence[int], size: int) -> str:
    """A weight with its gates in ONNX's order and a dim for the direction."""
    array = w.graph.constant(weight)
    assert isinstance(weight, Value)
    if array is None:
        raise unsupported("a recurrent layer whose weights are computed")
    return w.constant(_arranged(array, order, size)[None], name=f"{weight.name}.arranged")


def _arranged(array: Array, order: Sequence[int], size: int) -> Array:
    return np.concatenate([array[n * size : (n + 1) * size] for n in order])


def _biases(w: Writer, given: Sequence[Operand], order: Sequence[int], size: int, node: Node) -> str:
    if all(bias is None for bias in given):
        return ""
    parts = []
    for bias in given:
        array = np.zeros(len(order) * size) if bias is None else w.graph.constant(bias)
        if array is None:
            raise unsupported("a recurrent layer whose biases are computed")
        parts.append(_arranged(array, order, size))
    return w.constant(np.concatenate(parts)[None], node.output.dtype.numpy)
