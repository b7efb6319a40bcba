"""Primitives of layers."""

from __future__ import annotations

from typing import Any

from ...errors import UnsupportedOpError
from ...graph.ir import Node, Value
from ..emitter import Emitter, call, sizes_of
from .table import padded, rule


def _dims(node: Node) -> int:
    x = node.inputs[0]
    assert isinstance(x, Value), "a layer of a number"
    return len(x.shape) - 2


def _even(e: Emitter, x: str, padding: Any, value: float = 0.0) -> tuple[str, list[Any]]:
    """(x, padding) with as much before as after; other padding is put round x first."""
    if all(before == after for before, after in padding):
        return x, [before for before, _ in padding]
    return e.let(padded(e, x, padding, value=value)), [0] * len(padding)


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
    ("antialias-linear", 2): "_upsample_bilinear2d_aa", ("antialias-cubic", 2): "_upsample_bicubic2d_aa",
    ("antialias-lanczos", 2): "_upsample_lanczos2d_aa",
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


@rule("grid_sample")
def _(e: Emitter, node: Node) -> str:
    a = node.attributes
    mode = ("bilinear", "nearest", "bicubic").index(a.get("mode", "bilinear"))
    padding = ("zeros", "border", "reflection").index(a.get("padding_mode", "zeros"))
    return call("grid_sampler", *e.operands(node.inputs), *map(e.text, (mode, padding, a.get("align_corners", False))))
