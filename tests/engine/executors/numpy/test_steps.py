"""Every way in which the NumPy executor computes a step, against the primitive that says what the step means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numserve.engine.executors.numpy.executor import BUILDERS, MOVES, PRIMITIVE, NumpyExecutor
from numserve.engine.graph.memory import aligned
from numserve.engine.graph.plan import Step
from numserve.engine.ops import PRIMITIVES

NUMBERS = np.random.default_rng(7)
SAME = (1, 1, 1, 1)
EXECUTORS = {threads: NumpyExecutor(threads) for threads in (1, 2)}


def array(*shape: int, gap: int = 0) -> np.ndarray:
    """Random numbers; with a gap a slice of the channels of a wider array."""
    wide = aligned((*shape[:-1], shape[-1] + gap))
    wide[...] = NUMBERS.standard_normal(wide.shape, np.float32)
    return wide[..., gap // 2 : gap // 2 + shape[-1]]


def step(op: str, *inputs: Any, gap: int = 0, **attributes: Any) -> tuple[Step, tuple[np.ndarray, ...]]:
    """A step over these inputs, whose outputs may be slices of the channels, and what it is to give."""
    expected = PRIMITIVES[op].run(*inputs, **attributes)
    expected = expected if isinstance(expected, tuple) else (expected,)
    outputs = []
    for one in map(np.asarray, expected):
        wide = np.full((*one.shape[:-1], one.shape[-1] + gap) if one.ndim else (), 77, one.dtype)
        outputs.append(wide[..., gap // 2 : gap // 2 + one.shape[-1]] if one.ndim else wide)
    constant = (False,) + (True,) * (len(inputs) - 1)
    return Step(op, "here", inputs, tuple(outputs), attributes, constant, 1 << 20, 0), expected


def check(one: Step, expected: tuple[np.ndarray, ...], tolerance: float = 2e-5, ways: int = 1) -> None:
    """All candidates, on one thread and on two, twice each, as scratch memory is used again."""
    for executor in EXECUTORS.values():
        shop = executor.workshop()
        names = list(executor.candidates(one, shop))
        assert len(names) >= ways and PRIMITIVE not in names
        for name in names:
            for out in one.outputs:
                out[...] = 55
            unit = executor.build(one, name, shop)
            for bench in shop.benches:
                bench.take(1 << 20)[...] = np.nan
            with np.errstate(all="ignore"):
                unit.run()
                unit.run()
            for out, wanted in zip(one.outputs, expected, strict=True):
                scale = (
                    max(1.0, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
                    if wanted.dtype.kind == "f"
                    else 1
                )
                np.testing.assert_allclose(out, wanted, rtol=0, atol=tolerance * scale, err_msg=f"{name} of {one}")


CONVS = {
    "1x1": ((1, 13, 11, 24), (1, 1, 24, 40), {}),
    "1x1 in a slab": ((2, 7, 7, 24), (1, 1, 24, 40), {"gap": 8}),
    "1x1 large": ((1, 56, 56, 64), (1, 1, 64, 64), {}),
    "1x1 stride 2": ((3, 9, 8, 16), (1, 1, 16, 32), {"stride": (2, 2)}),
    "3x3": ((1, 14, 14, 32), (3, 3, 32, 48), {"padding": SAME}),
    "3x3 odd": ((3, 7, 9, 17), (3, 3, 17, 19), {"padding": SAME, "gap": 6}),
    "3x3 of exact tiles": ((3, 8, 8, 16), (3, 3, 16, 16), {"padding": SAME}),
    "3x3 large": ((1, 56, 53, 32), (3, 3, 32, 32), {"padding": SAME}),
    "3x3 without padding": ((1, 15, 12, 32), (3, 3, 32, 16), {}),
    "3x3 stride 2": ((2, 15, 12, 8), (3, 3, 8, 16), {"padding": SAME, "stride": (2, 2)}),
    "3x3 dilated": ((1, 15, 12, 8), (3, 3, 8, 16), {"padding": (2, 2, 2, 2), "dilation": (2, 2)}),
    "tiny": ((2, 1, 1, 16), (3, 3, 16, 5), {"padding": SAME}),
    "1x7": ((1, 9, 9, 12), (1, 7, 12, 20), {"padding": (0, 3, 0, 3)}),
    "7x1": ((1, 9, 9, 12), (7, 1, 12, 20), {"padding": (3, 0, 3, 0)}),
    "stem": ((2, 33, 31, 3), (7, 7, 3, 16), {"padding": (3, 3, 3, 3), "stride": (2, 2)}),
    "uneven padding": ((1, 10, 9, 4), (3, 2, 4, 8), {"padding": (0, 1, 2, 0)}),
    "grouped": ((3, 9, 8, 24), (3, 3, 6, 32), {"padding": SAME, "groups": 4}),
    "grouped, strided, in a slab": ((1, 9, 8, 24), (3, 3, 6, 32), {"stride": (2, 2), "groups": 4, "gap": 4}),
    "depthwise": ((3, 14, 13, 32), (3, 3, 1, 32), {"padding": SAME, "groups": 32}),
    "depthwise stride 2": ((1, 14, 13, 32), (3, 3, 1, 32), {"padding": SAME, "groups": 32, "stride": (2, 2), "gap": 8}),
    "depthwise multiplied": ((1, 9, 9, 6), (5, 5, 1, 12), {"padding": (2, 2, 2, 2), "groups": 6}),
}


@pytest.mark.parametrize("ends", ["bias", "residual", "silu"])
@pytest.mark.parametrize("name", CONVS)
def test_convolutions(name: str, ends: str) -> None:
    shape, filters, given = CONVS[name]
    gap = given.get("gap", 0)
    options = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1} | given
    options.pop("gap", None)
    activation = {"bias": "", "residual": "relu", "silu": "silu"}[ends]
    x, weight, bias = array(*shape, gap=gap), array(*filters) / 4, array(filters[3])
    plain, _ = step("conv_nhwc", x, weight, bias, None, None, None, activation=activation, **options)
    residual = array(*plain.output.shape, gap=gap) if ends == "residual" else None

    one, expected = step("conv_nhwc", x, weight, bias, residual, None, None, gap=gap, activation=activation, **options)

    check(one, expected)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("bounds", ["low", "high", "both"])
def test_convolutions_clip_what_they_read(bounds: str, stride: tuple[int, int]) -> None:
    low, high = array(24) - 0.5, array(24) + 2
    low[::3], high[::2] = -np.inf, np.inf
    one, expected = step(
        "conv_nhwc", array(2, 9, 9, 24, gap=8), array(1, 1, 24, 32), array(32), None,
        None if bounds == "high" else low, None if bounds == "low" else high,
        stride=stride, padding=(0, 0, 0, 0), dilation=(1, 1), groups=1, activation="relu",
    )  # fmt: skip

    check(one, expected)


def test_winograd_is_among_the_ways_unless_exact() -> None:
    one, _ = step(
        "conv_nhwc", array(1, 14, 14, 32), array(3, 3, 32, 32), array(32), None, None, None,
        stride=(1, 1), padding=SAME, dilation=(1, 1), groups=1, activation="",
    )  # fmt: skip

    def ways(exact: bool) -> set[str]:
        executor = NumpyExecutor(exact=exact)
        return {name.split()[0] for name in executor.candidates(one, executor.workshop())}

    assert ways(exact=False) == {"columns", "columns,", "winograd4", "winograd2"}
    assert ways(exact=True) == {"columns", "columns,"}


@pytest.mark.parametrize("rows", [1, 3, 40, 700])
def test_products(rows: int) -> None:
    one, expected = step("gemm", array(rows, 70), array(70, 90), array(90), array(rows, 90), gap=6, activation="gelu")

    check(one, expected, ways=2 if rows < 16 else 1)


def test_products_of_rows_of_rows() -> None:
    one, expected = step("gemm", array(2, 5, 70), array(70, 90), array(90), None, activation="")

    check(one, expected)


POOLS = {
    "max 3x3": ("max_pool_nhwc", {"kernel": (3, 3), "stride": (2, 2), "padding": SAME, "dilation": (1, 1)}),
    "max ceil": ("max_pool_nhwc", {"kernel": (3, 3), "stride": (2, 2), "padding": (0, 0, 1, 1), "dilation": (1, 1)}),
    "max dilated": ("max_pool_nhwc", {"kernel": (2, 3), "stride": (1, 2), "padding": SAME, "dilation": (2, 2)}),
    "max of rows": ("max_pool_nhwc", {"kernel": (3, 1), "stride": (2, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}),
    "mean": ("avg_pool_nhwc", {"kernel": (3, 3), "stride": (1, 1), "padding": SAME, "count_include_pad": True}),
    "mean inside": ("avg_pool_nhwc", {"kernel": (3, 3), "stride": (2, 2), "padding": SAME}),
    "mean divided": ("avg_pool_nhwc", {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "divisor": 3}),
    "nothing": ("avg_pool_nhwc", {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0, 0, 0)}),
}


@pytest.mark.parametrize("shape", [(1, 12, 13, 5), (3, 7, 8, 16), (1, 57, 56, 32)])
@pytest.mark.parametrize("name", POOLS)
def test_pools(name: str, shape: tuple[int, ...]) -> None:
    op, attributes = POOLS[name]
    one, expected = step(op, array(*shape, gap=6), gap=10, **attributes)

    check(one, expected)


@pytest.mark.parametrize("images", [1, 3])
def test_means_of_images(images: int) -> None:
    one, expected = step("mean_nhwc", array(images, 7, 9, 20, gap=4), gap=4)

    check(one, expected)


ACTIVATIONS = [
    "relu", "relu6", "silu", "hardswish", "hardsigmoid", "sigmoid", "gelu", "gelu_tanh", "tanh", "mish",
    "leaky_relu:0.1", "leaky_relu:1.5", "clamp:-1:0.5", "elu:0.7",
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_at_the_end_of_other_steps(activation: str) -> None:
    x = array(300, 130) * 3
    x[0, :5] = np.nan, np.inf, -np.inf, 0, -90
    one, expected = step("affine_nhwc", x, np.ones(130, np.float32), np.zeros(130, np.float32), activation=activation)

    check(one, expected, tolerance=1e-6)


UNARY = [
    "relu", "silu", "gelu", "sigmoid", "tanh", "exp", "neg", "sqrt", "abs", "square", "mish", "hardswish", "log1p",
    "softplus", "rsqrt", "erf", "exp2", "log2",
]  # fmt: skip


@pytest.mark.parametrize("op", UNARY)
@pytest.mark.parametrize("shape", [(3,), (70, 1100), (2, 3, 20, 5)])
def test_functions_of_elements(op: str, shape: tuple[int, ...]) -> None:
    one, expected = step(op, array(*shape, gap=2))

    check(one, expected)


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "maximum", "minimum"])
@pytest.mark.parametrize("shapes", [((300, 400), (300, 400)), ((3, 1, 5), (4, 1)), ((2, 250, 300), (300,))])
def test_arithmetic(op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    one, expected = step(op, *(array(*shape) for shape in shapes))

    check(one, expected)


def test_arithmetic_with_numbers_and_an_activation() -> None:
    check(*step("mul", array(3, 4), 2.5))
    check(*step("sub", 1, array(3, 4)))
    check(*step("add_act", array(3, 4), array(3, 4), gap=2, activation="relu"))


def test_bounds() -> None:
    check(*step("clamp", array(5, 6), min=-0.5, max=0.5))
    check(*step("clamp", array(5, 6), max=0.5))


@pytest.mark.parametrize("shape", [(1, 8), (3, 50, 64), (2000, 64)])
def test_layer_norms(shape: tuple[int, ...]) -> None:
    check(*step("layer_norm", array(*shape), array(shape[-1]), array(shape[-1]), dims=1, eps=1e-5))
    check(*step("layer_norm", array(*shape), None, None, dims=1, eps=1e-5))


@pytest.mark.parametrize("op", ["sum", "mean", "amax", "amin", "prod"])
def test_reductions(op: str) -> None:
    check(*step(op, array(3, 40, 5), dim=1))
    check(*step(op, array(3, 40, 5), dim=(0, -1), keepdim=True))
    check(*step(op, array(3, 4, 5)))


@pytest.mark.parametrize("eps", [1e-5, None])
def test_rms_norms(eps: float | None) -> None:
    check(*step("rms_norm", array(30, 64), array(64), dims=1, eps=eps))
    check(*step("rms_norm", array(3, 5, 6), None, dims=2, eps=eps))


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_group_norms(groups: int) -> None:
    turned = array(3, 7, 5, 8).transpose(0, 3, 1, 2)
    check(*step("group_norm", turned, array(8), array(8), groups=groups, eps=1e-5))
    check(*step("group_norm", turned, None, None, groups=groups, eps=1e-5))


def test_softplus_is_exact_beyond_its_threshold() -> None:
    check(*step("softplus", array(50, 3) * 30, beta=2.0, threshold=10.0))


def test_layer_norms_over_two_dims() -> None:
    check(*step("layer_norm", array(4, 5, 6), array(5, 6), array(5, 6), dims=2, eps=1e-5))


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmaxes(op: str, dim: int) -> None:
    check(*step(op, array(700, 3, 50), dim=dim), tolerance=1e-6)
    check(*step(op, array(9), dim=0), tolerance=1e-6)


def test_batches_of_products() -> None:
    check(*step("matmul", array(3, 4, 20, 30), array(3, 4, 30, 10)))
    check(*step("matmul", array(3, 4, 20, 30), array(1, 4, 30, 10)))
    check(*step("matmul", array(20, 30), array(30, 10)))
    check(*step("matmul", array(4, 20, 30), array(30, 10)))
    check(*step("matmul", array(4, 20, 30), np.swapaxes(array(4, 10, 30), 1, 2)))


MASKS = {
    "none": None,
    "bools": np.arange(9)[None, None, None, :] < np.array([9, 4])[:, None, None, None],
    "floats": np.where(np.tri(6, 9, dtype=bool), 0, -np.inf).astype(np.float32),
    "nothing seen": np.arange(6)[:, None] < np.full(9, 3)[None, :],
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("causal", [False, True])
def test_attention(mask: str, causal: bool) -> None:
    q, k, v = array(2, 3, 6, 16), array(2, 3, 9, 16), array(2, 3, 9, 8)

    check(*step("scaled_dot_product_attention", q, k, v, MASKS[mask], scale=0.25, causal=causal))


def test_attention_reads_and_writes_turned_arrays() -> None:
    q, k, v = (np.swapaxes(array(2, 6, 3, 16), 1, 2) for _ in range(3))
    one, expected = step("scaled_dot_product_attention", q, k, v, None, scale=0.25)
    turned = Step(
        one.op, one.name, one.inputs, (np.swapaxes(array(2, 6, 3, 16), 1, 2),), one.attributes, one.constant, 1, 1
    )

    check(turned, expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("op", ["lstm", "gru", "rnn"])
def test_recurrent_layers(op: str, biased: bool, reverse: bool) -> None:
    gates, size = {"lstm": 4, "gru": 3, "rnn": 1}[op], 12
    states = [array(3, size) for _ in range(2 if op == "lstm" else 1)]
    weights = [array(gates * size, 10), array(gates * size, size)]
    biases = [array(gates * size), array(gates * size)] if biased else [None, None]
    last = [None] if op == "lstm" else []

    check(*step(op, array(7, 3, 10), *states, *weights, *biases, *last, gap=6, reverse=reverse))


def test_what_moves_elements() -> None:
    check(*step("permute", array(2, 3, 4, 5), dims=(0, 2, 3, 1)))
    check(*step("reshape", np.swapaxes(array(4, 5), 0, 1), shape=(2, 10)))
    check(*step("getitem", array(4, 5), index=(slice(1, 3), 2)))
    check(*step("expand", array(1, 5), shape=(4, -1)))
    check(*step("cat", array(2, 3, 4), array(2, 1, 4), dim=1))
    check(*step("cat", array(2, 4), array(2, 3), dim=-1))
    check(*step("embedding", array(10, 4), NUMBERS.integers(0, 10, (3, 5))))
    check(*step("clone", np.arange(6).reshape(2, 3)))
    check(*step("stack", array(2, 3), array(2, 3), dim=-1))
    check(*step("flip", array(2, 3, 4), dims=(0, 2)))
    check(*step("pad", array(2, 3), widths=((0, 1), (2, 0)), value=1.5))
    check(*step("pixel_shuffle", array(2, 8, 3, 5), factor=2))
    check(*step("pixel_unshuffle", array(2, 2, 6, 4), factor=2))
    mask = NUMBERS.random((4, 1)) > 0.5
    check(*step("where", mask, array(4, 5), array(1, 5)))
    check(*step("masked_fill", array(4, 5), mask, np.array(-1, np.float32)))


def test_what_has_no_algorithm_goes_through_its_primitive() -> None:
    one, expected = step("cumsum", array(3, 4), dim=1)
    executor = EXECUTORS[1]

    assert not executor.supports(one)
    assert list(executor.candidates(one, executor.workshop())) == [PRIMITIVE]
    executor.build(one, PRIMITIVE, executor.workshop()).run()
    np.testing.assert_array_equal(one.output, expected[0])


def test_every_builder_is_for_a_primitive() -> None:
    made_by_fusion = {name for name in BUILDERS if name.endswith("_act")}

    assert {*BUILDERS, *MOVES} - made_by_fusion <= PRIMITIVES.keys()
