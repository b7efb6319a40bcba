"""RULES, how each primitive of a graph is written as a call of PyTorch's operators."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedOpError
from ..graph.ir import Node, Value
from .emitter import Emitter, Rule, call, sizes_of

RULES: dict[str, Rule] = {}
# Primitives that no rule writes, and why.
NOT_WRITTEN = {
    "batch_norm_of_batch": "statistics of the batch belong to training",
    "local_response_norm": "PyTorch has no operator for it",
    **dict.fromkeys(
        ("binary_cross_entropy", "binary_cross_entropy_with_logits", "huber_loss", "kl_div", "l1_loss", "mse_loss",
         "nll_loss"),
        "losses belong to training",
    ),
    **dict.fromkeys(("clone", "contiguous"), "copies are no operations of a graph"),
}  # fmt: skip

SAME = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "conj", "cos", "cosh", "erf", "erfc",
    "erfinv", "exp", "exp2", "expm1", "floor", "fmax", "fmin", "frac", "hardsigmoid", "hardswish", "hypot", "imag",
    "isfinite", "isin", "isinf", "isnan", "log", "log10", "log1p", "log2", "logaddexp", "logical_and", "logical_not",
    "logical_or", "logical_xor", "matmul", "maximum", "minimum", "mish", "neg", "nonzero", "pow", "real", "reciprocal",
    "relu", "remainder", "rsqrt", "sigmoid", "sign", "silu", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc",
    "where", "xlogy", "floor_divide", "fmod",
)  # fmt: skip
_BOTH_TENSORS = frozenset({
    "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "fmax", "fmin",
    "hypot", "logaddexp", "logical_and", "logical_or", "logical_xor", "maximum", "minimum", "where", "xlogy",
    "floor_divide", "fmod", "remainder", "matmul",
})  # fmt: skip


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule."""

    def entered(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return entered


def _like(node: Node) -> Value:
    """A value whose dtype numbers take, where they must be tensors."""
    return next(node.values)


@rule(*SAME)
def _(e: Emitter, node: Node) -> str:
    if node.op in _BOTH_TENSORS:
        return call(node.op, *[e.tensor(i, _like(node)) for i in node.inputs])
    return call(node.op, *e.operands(node.inputs))


@rule("logsigmoid")
def _(e: Emitter, node: Node) -> str:
    return call("log_sigmoid", *e.operands(node.inputs))


@rule("add", "mul")
def _(e: Emitter, node: Node) -> str:
    first, second = node.inputs if isinstance(node.inputs[0], Value) else reversed(node.inputs)
    return call(node.op, e.operand(first), e.operand(second))


@rule("sub")
def _(e: Emitter, node: Node) -> str:
    first, second = node.inputs
    if isinstance(first, Value):
        return call("sub", e.operand(first), e.operand(second))
    return call("rsub", e.operand(second), e.operand(first))


@rule("div", "trunc_divide")
def _(e: Emitter, node: Node) -> str:
    first, second = node.inputs
    dividend = e.operand(first) if isinstance(first, Value) else e.tensor(first, _like(node))
    mode = {"rounding_mode": '"trunc"'} if node.op == "trunc_divide" else {}
    return call("div", dividend, e.operand(second), **mode)


_TURNED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


@rule(*_TURNED)
def _(e: Emitter, node: Node) -> str:
    first, second = node.inputs
    if isinstance(first, Value):
        return call(node.op, e.operand(first), e.operand(second))
    return call(_TURNED[node.op], e.operand(second), e.operand(first))


def _with(name: str, *attributes: str, **named: str) -> Rule:
    """The operands, then attributes in this order, then others by (their name: ours)."""

    def write(e: Emitter, node: Node) -> str:
        values = [e.text(node.attributes.get(a, _DEFAULTS.get(a))) for a in attributes]
        options = {theirs: e.text(node.attributes.get(ours)) for theirs, ours in named.items()}
        return call(name, *e.operands(node.inputs), *values, **options)

    return write


_DEFAULTS: dict[str, Any] = {
    "alpha": 1.0, "scale": 1.0, "input_scale": 1.0, "negative_slope": 0.01, "beta": 1.0, "threshold": 20.0,
    "offset": 0, "dim1": 0, "dim2": 1, "diagonal": 0, "keepdim": False, "dim": -1, "descending": False, "largest": True,
    "sorted": True, "num_classes": -1, "nan": 0.0, "minlength": 0, "bins": 100, "min": 0, "max": 0,
}  # fmt: skip
RULES |= {
    "bincount": lambda e, n: call(
        "bincount", *e.operands((*n.inputs, None)[:2]), e.text(n.attributes.get("minlength", 0))
    ),
    "cummax": _with("cummax", "dim"),
    "cummin": _with("cummin", "dim"),
    "cumprod": _with("cumprod", "dim", dtype="dtype"),
    "cumsum": _with("cumsum", "dim", dtype="dtype"),
    "diagonal": _with("diagonal", "offset", "dim1", "dim2"),
    "elu": _with("elu", "alpha", "scale", "input_scale"),
    "expand": _with("expand", "shape"),
    "flip": _with("flip", "dims"),
    "histc": _with("histc", "bins", "min", "max"),
    "kthvalue": _with("kthvalue", "k", "dim", "keepdim"),
    "leaky_relu": _with("leaky_relu", "negative_slope"),
    "median": _with("median", "dim", "keepdim"),
    "max_dim": _with("max", "dim", "keepdim"),
    "min_dim": _with("min", "dim", "keepdim"),
    "nan_to_num": _with("nan_to_num", "nan", "posinf", "neginf"),
    "one_hot": _with("one_hot", "num_classes"),
    "permute": _with("permute", "dims"),
    "pixel_shuffle": _with("pixel_shuffle", "factor"),
    "pixel_unshuffle": _with("pixel_unshuffle", "factor"),
    "repeat": _with("repeat", "repeats"),
    "reshape": _with("reshape", "shape"),
    "softplus": _with("softplus", "beta", "threshold"),
    "sort": _with("sort", "dim", "descending"),
    "topk": _with("topk", "k", "dim", "largest", "sorted"),
    "tril": _with("tril", "diagonal"),
    "triu": _with("triu", "diagonal"),
    "window": _with("unfold", "dim", "size", "step"),
}


@rule("cast")
def _(e: Emitter, node: Node) -> str:
    return call("to", e.operand(node.inputs[0]), e.text(node.attributes["dtype"]))


@rule("round")
def _(e: Emitter, node: Node) -> str:
    decimals = node.attributes.get("decimals", 0)
    return call("round", e.operand(node.inputs[0]), **({"decimals": e.text(decimals)} if decimals else {}))


@rule("gelu")
def _(e: Emitter, node: Node) -> str:
    return call("gelu", e.operand(node.inputs[0]), approximate=e.text(node.attributes.get("approximate", "none")))


@rule("clamp")
def _(e: Emitter, node: Node) -> str:
    return call("clamp", e.operand(node.inputs[0]), *(e.text(node.attributes.get(k)) for k in ("min", "max")))


@rule("softmax", "log_softmax")
def _(e: Emitter, node: Node) -> str:
    return call(node.op, e.operand(node.inputs[0]), e.text(node.attributes["dim"]), "None")


@rule("masked_fill")
def _(e: Emitter, node: Node) -> str:
    return call("masked_fill", *e.operands(node.inputs))


@rule("cat", "stack")
def _(e: Emitter, node: Node) -> str:
    return call(node.op, f"[{', '.join(e.operands(node.inputs))}]", e.text(node.attributes.get("dim", 0)))


@rule("einsum")
def _(e: Emitter, node: Node) -> str:
    return call("einsum", e.text(node.attributes["equation"]), f"[{', '.join(e.operands(node.inputs))}]")


@rule("linear")
def _(e: Emitter, node: Node) -> str:
    return call("linear", *e.operands((*node.inputs, None)[:3]))


@rule("roll")
def _(e: Emitter, node: Node) -> str:
    dims = node.attributes.get("dims")
    return call("roll", e.operand(node.inputs[0]), e.text(node.attributes["shifts"]), e.text(dims or ()))


@rule("pad")
def _(e: Emitter, node: Node) -> str:
    return _padded(e, e.operand(node.inputs[0]), node.attributes["widths"], **{
        k: node.attributes[k] for k in ("mode", "value") if k in node.attributes
    })  # fmt: skip


def _padded(e: Emitter, x: str, widths: Any, mode: str = "constant", value: Any = 0.0) -> str:
    """Padding from the last dim on; dims before the first that is padded are not named."""
    pairs = list(itertools.dropwhile(lambda pair: tuple(pair) == (0, 0), widths))
    flat = [n for pair in reversed(pairs) for n in pair]
    last = e.text(float(value) if isinstance(value, (int, float)) else value) if mode == "constant" else "None"
    return call("pad", x, e.text(flat), e.text(mode), last)


# Reductions


@rule("sum", "mean", "prod")
def _(e: Emitter, node: Node) -> str:
    x, dim, dtype = e.operand(node.inputs[0]), node.attributes.get("dim"), e.text(node.attributes.get("dtype"))
    keep = e.text(node.attributes.get("keepdim", False))
    if dim is None:
        return call(node.op, x, dtype=dtype)
    over = dim if node.op == "prod" else [dim] if isinstance(dim, int) else dim
    return call(node.op, x, e.text(over), keep, dtype=dtype)


@rule("amax", "amin", "logsumexp", "norm", "var", "std")
def _(e: Emitter, node: Node) -> str:
    x, dim = node.inputs[0], node.attributes.get("dim")
    assert isinstance(x, Value), "a reduction of a number"
    dims = list(range(len(x.shape))) if dim is None else [dim] if isinstance(dim, int) else dim
    keep = e.text(node.attributes.get("keepdim", False))
    if node.op in ("var", "std"):
        options = {"correction": e.text(node.attributes.get("correction", 1)), "keepdim": keep}
        return call(node.op, e.operand(x), e.text(dims), **options)
    power = [e.text(node.attributes.get("p", 2))] if node.op == "norm" else []
    return call(node.op, e.operand(x), *power, e.text(dims), keep)


@rule("any", "all")
def _(e: Emitter, node: Node) -> str:
    x, dim, keep = e.operand(node.inputs[0]), node.attributes.get("dim"), node.attributes.get("keepdim", False)
    if dim is None:
        return call(node.op, x)
    for each in sorted((d % 64 for d in ([dim] if isinstance(dim, int) else dim)), reverse=True):
        x = call(node.op, x, e.text(each if each < 32 else each - 64), e.text(keep))
    return x


@rule("argmax", "argmin")
def _(e: Emitter, node: Node) -> str:
    options = (node.attributes.get("dim"), node.attributes.get("keepdim", False))
    return call(node.op, e.operand(node.inputs[0]), *map(e.text, options))


# Layers


def _dims(node: Node) -> int:
    x = node.inputs[0]
    assert isinstance(x, Value), "a layer of a number"
    return len(x.shape) - 2


def _even(e: Emitter, x: str, padding: Any, value: float = 0.0) -> tuple[str, list[Any]]:
    """(x, padding) with as much before as after; other padding is put round x first."""
    if all(before == after for before, after in padding):
        return x, [before for before, _ in padding]
    return e.let(_padded(e, x, padding, value=value)), [0] * len(padding)


@rule("conv")
def _(e: Emitter, node: Node) -> str:
    x, weight, bias = e.operands(node.inputs)
    x, padding = _even(e, x, node.attributes["padding"])
    a = node.attributes
    options = (a["stride"], padding, a["dilation"], a["groups"])
    return call(f"conv{_dims(node)}d", x, weight, bias, *map(e.text, options))


@rule("conv_transpose")
def _(e: Emitter, node: Node) -> str:
    a = node.attributes
    if any(before != after for before, after in a["padding"]):
        raise UnsupportedOpError("conv_transpose with other padding after than before cannot be written as TorchScript")
    padding = [before for before, _ in a["padding"]]
    options = (a["stride"], padding, a["output_padding"], a["groups"], a["dilation"])
    return call(f"conv_transpose{_dims(node)}d", *e.operands(node.inputs), *map(e.text, options))


def _pool_options(e: Emitter, node: Node) -> tuple[str, list[str], str]:
    """(dims as text, the operand and the options, what follows a pool's name)."""
    a = node.attributes
    x, padding = _even(e, e.operand(node.inputs[0]), a["padding"], float("-inf"))
    options = (a["kernel"], a["stride"], padding, a["dilation"], a["ceil_mode"])
    return str(len(a["kernel"])), [x, *map(e.text, options)], "d"


@rule("max_pool")
def _(e: Emitter, node: Node) -> str:
    dims, options, end = _pool_options(e, node)
    return call(f"max_pool{dims}{end}", *options)


@rule("max_pool_indices")
def _(e: Emitter, node: Node) -> str:
    dims, options, end = _pool_options(e, node)
    return e.unpacked(call(f"max_pool{dims}{end}_with_indices", *options), 2)[1]


@rule("adaptive_max_pool", "adaptive_max_pool_indices")
def _(e: Emitter, node: Node) -> str:
    size = node.attributes["size"]
    both = e.unpacked(call(f"adaptive_max_pool{len(size)}d", e.operand(node.inputs[0]), e.text(size)), 2)
    return both[node.op.endswith("indices")]


@rule("avg_pool")
def _(e: Emitter, node: Node) -> str:
    a, dims = node.attributes, len(node.attributes["kernel"])
    if any(before != after for before, after in a["padding"]):
        raise UnsupportedOpError("avg_pool with other padding after than before cannot be written as TorchScript")
    padding = [before for before, _ in a["padding"]]
    options = [a["kernel"], a["stride"], padding, a["ceil_mode"], a["count_include_pad"]]
    if dims > 1:
        options.append(a["divisor"])
    return call(f"avg_pool{dims}d", e.operand(node.inputs[0]), *map(e.text, options))


_RESIZED = {
    ("nearest", 1): "upsample_nearest1d", ("nearest", 2): "upsample_nearest2d", ("nearest", 3): "upsample_nearest3d",
    ("nearest-exact", 1): "_upsample_nearest_exact1d", ("nearest-exact", 2): "_upsample_nearest_exact2d",
    ("nearest-exact", 3): "_upsample_nearest_exact3d", ("linear", 1): "upsample_linear1d",
    ("linear", 2): "upsample_bilinear2d", ("linear", 3): "upsample_trilinear3d", ("cubic", 2): "upsample_bicubic2d",
}  # fmt: skip


@rule("interpolate")
def _(e: Emitter, node: Node) -> str:
    a, x = node.attributes, e.operand(node.inputs[0])
    size, mode = a["size"], a["mode"]
    if mode == "area":
        return call(f"adaptive_avg_pool{len(size)}d", x, e.text(size))
    corners = [] if mode.startswith("nearest") else [e.text(a.get("align_corners", False))]
    scales = [e.text(None if s is None else float(s)) for s in a.get("scales") or (None,) * len(size)]
    return call(_RESIZED[mode, len(size)], x, e.text(size), *corners, *scales)


@rule("batch_norm")
def _(e: Emitter, node: Node) -> str:
    return call("batch_norm", *e.operands(node.inputs), "False", "0.", e.text(float(node.attributes["eps"])), "True")


@rule("layer_norm")
def _(e: Emitter, node: Node) -> str:
    x, weight, bias = node.inputs
    assert isinstance(x, Value), "a layer of a number"
    shape = e.text(sizes_of(x, node.attributes["dims"]))
    return call("layer_norm", e.operand(x), shape, *e.operands((weight, bias)), e.text(float(node.attributes["eps"])))


@rule("rms_norm")
def _(e: Emitter, node: Node) -> str:
    x, weight = node.inputs
    assert isinstance(x, Value), "a layer of a number"
    shape, eps = e.text(sizes_of(x, node.attributes["dims"])), node.attributes["eps"]
    return call("rms_norm", e.operand(x), shape, e.operand(weight), e.text(None if eps is None else float(eps)))


@rule("group_norm")
def _(e: Emitter, node: Node) -> str:
    x, *rest = e.operands(node.inputs)
    return call("group_norm", x, e.text(node.attributes["groups"]), *rest, e.text(float(node.attributes["eps"])))


@rule("scaled_dot_product_attention")
def _(e: Emitter, node: Node) -> str:
    a = node.attributes
    return call(
        "scaled_dot_product_attention", *e.operands(node.inputs), "0.", e.text(a.get("causal", False)),
        scale=e.text(float(a["scale"])),
    )  # fmt: skip


@rule("lstm", "gru", "rnn")
def _(e: Emitter, node: Node) -> str:
    """One layer in one direction; a reversed one reads and gives its times the other way round."""
    a, count = node.attributes, 2 if node.op == "lstm" else 1
    if a.get("lengths") is not None:
        raise UnsupportedOpError(f"{node.op} of packed sequences cannot be written as TorchScript")
    x, *rest = e.operands(node.inputs)
    states = [call("unsqueeze", s, "0") for s in rest[:count]]
    weights = [w for w in rest[count:] if w != "None"]
    has_bias = rest[count + 2] != "None"
    if a.get("reverse"):
        x = call("flip", x, "[0]")
    name = node.op if node.op != "rnn" else f"rnn_{a.get('nonlinearity', 'tanh')}"
    hidden = f"[{', '.join(states)}]" if count > 1 else states[0]
    options = (has_bias, 1, 0.0, False, False, False)
    outputs, *after = e.unpacked(call(name, x, hidden, f"[{', '.join(weights)}]", *map(e.text, options)), 1 + count)
    if a.get("reverse"):
        outputs = call("flip", outputs, "[0]")
    return f"({', '.join([outputs, *(call('squeeze', s, '0') for s in after)])})"


# Indexing


def _viewed(e: Emitter, x: str, index: Any) -> str:
    """Numbers, slices and new dims one after the other."""
    dim = 0
    for item in index:
        if item is None:
            x = call("unsqueeze", x, str(dim))
        elif isinstance(item, slice):
            if item != slice(None):
                parts = (item.start, item.stop, 1 if item.step is None else item.step)
                x = call("slice", x, str(dim), *map(e.text, parts))
        else:
            x = call("select", x, str(dim), e.text(item))
            continue
        dim += 1
    return x


@rule("getitem")
def _(e: Emitter, node: Node) -> str:
    return _viewed(e, e.operand(node.inputs[0]), node.attributes["index"])


@rule("place")
def _(e: Emitter, node: Node) -> str:
    """A copy, a view of which then takes the part."""
    whole, part = node.inputs
    copy = e.let(call("clone", e.operand(whole)), "copy")
    view, how = node.attributes["view"], node.attributes["how"]
    assert isinstance(whole, Value), "a part of a number"
    inner = Node(view.name, (Value(copy, whole.shape, whole.dtype),), node.outputs, how)
    e.know(copy)
    seen = e.let(RULES[view.name](e, inner), "view")
    e.let(call("copy_" if isinstance(part, Value) else "fill_", seen, e.operand(part)))
    return copy


@rule("setitem")
def _(e: Emitter, node: Node) -> str:
    whole, part = node.inputs
    copy = e.let(call("clone", e.operand(whole)), "copy")
    seen = _viewed(e, copy, node.attributes["index"])
    e.let(call("copy_" if isinstance(part, Value) else "fill_", seen, e.operand(part)))
    return copy


@rule("overwrite")
def _(e: Emitter, node: Node) -> str:
    whole, part = node.inputs
    name = "copy_" if isinstance(part, Value) else "fill_"
    return call(name, call("empty_like", e.operand(whole)), e.operand(part))


def _positions(e: Emitter, positions: Any, dims: Any) -> str:
    found = dict(zip(dims, e.operands(positions), strict=True))
    items = ", ".join(found.get(d, "None") for d in range(max(dims) + 1))
    return f"annotate(List[Optional[Tensor]], [{items}])"


@rule("index")
def _(e: Emitter, node: Node) -> str:
    x, *positions = node.inputs
    return call("index", e.operand(x), _positions(e, positions, node.attributes["dims"]))


@rule("index_put")
def _(e: Emitter, node: Node) -> str:
    x, value, *positions = node.inputs
    at = _positions(e, positions, node.attributes["dims"])
    accumulate = e.text(node.attributes.get("accumulate", False))
    return call("index_put", e.operand(x), at, e.tensor(value, _like(node)), accumulate)


@rule("gather")
def _(e: Emitter, node: Node) -> str:
    x, index = e.operands(node.inputs)
    return call("gather", x, e.text(node.attributes["dim"]), index)


@rule("scatter", "scatter_add")
def _(e: Emitter, node: Node) -> str:
    x, index, value = e.operands(node.inputs)
    return call(node.op, x, e.text(node.attributes["dim"]), index, value)


@rule("embedding")
def _(e: Emitter, node: Node) -> str:
    padding = node.attributes.get("padding_idx")
    return call("embedding", *e.operands(node.inputs), e.text(-1 if padding is None else padding))


@rule("searchsorted")
def _(e: Emitter, node: Node) -> str:
    return call("searchsorted", *e.operands(node.inputs), right=e.text(node.attributes.get("right", False)))


@rule("unique")
def _(e: Emitter, node: Node) -> str:
    if node.attributes.get("dim") is not None:
        raise UnsupportedOpError("unique along a dim cannot be written as TorchScript")
    return call("_unique2", e.operand(node.inputs[0]), "True", "True", "True")


@rule("grid_sample")
def _(e: Emitter, node: Node) -> str:
    a = node.attributes
    mode = ("bilinear", "nearest", "bicubic").index(a.get("mode", "bilinear"))
    padding = ("zeros", "border", "reflection").index(a.get("padding_mode", "zeros"))
    return call("grid_sampler", *e.operands(node.inputs), *map(e.text, (mode, padding, a.get("align_corners", False))))
