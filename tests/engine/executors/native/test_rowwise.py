"""The native kernels for rows, pools, copies and attention against the primitives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numserve.engine.ops import PRIMITIVES

from .steps import VARIANTS, Step, check, make, outputs, random, reference

UNARY: dict[str, dict[str, Any]] = {
    "relu": {}, "sigmoid": {}, "tanh": {}, "silu": {}, "hardswish": {}, "hardsigmoid": {}, "exp": {}, "erf": {},
    "neg": {}, "abs": {}, "reciprocal": {}, "square": {}, "leaky_relu": {"negative_slope": 0.2}, "gelu": {},
    "clamp": {"min": -0.5, "max": None},
}  # fmt: skip
SHAPES = [(3, 5, 7, 37), (64, 256), (1, 5), (2, 3, 1000)]


def _strided(seed: int) -> np.ndarray:
    return random(seed, 2, 5, 5, 24, pitch=8)


@pytest.mark.parametrize("op", [op for op in UNARY if op in PRIMITIVES])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_function_is_the_primitive(op: str, shape: tuple[int, ...]) -> None:
    check(make(op, random(1, *shape) * 3, **UNARY[op]), 1e-6)


@pytest.mark.parametrize("op", ["sqrt", "rsqrt"])
def test_a_root_is_the_primitive(op: str) -> None:
    check(make(op, np.abs(random(1, 4, 50)) + 0.1), 1e-6)


def test_the_tanh_form_of_gelu_is_the_primitive() -> None:
    check(make("gelu", random(1, 4, 50), approximate="tanh"), 1e-6)


@pytest.mark.parametrize(("op", "function"), [("exp", math.exp), ("erf", math.erf), ("tanh", math.tanh)])
def test_a_function_is_exact_to_a_few_units_in_the_last_place(op: str, function: Any) -> None:
    x = np.linspace(-9, 9, 4001, dtype=np.float32)[None]
    expected = np.array([[function(float(v)) for v in x[0]]])
    for variant in VARIANTS:
        for met in outputs(make(op, x), variant).values():
            assert (np.abs(met - expected) <= 4 * np.spacing(np.abs(expected).astype(np.float32))).all()


@pytest.mark.parametrize("op", ["exp", "sigmoid", "tanh", "erf", "relu", "gelu", "silu", "hardswish", "clamp"])
def test_the_ends_of_the_line_are_the_primitives(op: str) -> None:
    step = make(
        op, np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0, 100, -100, 88.7, -103, 1e-40]], np.float32), **UNARY[op]
    )
    for variant in VARIANTS:
        for met in outputs(step, variant).values():
            np.testing.assert_allclose(met, reference(step), rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "maximum", "minimum"])
@pytest.mark.parametrize("other", ["same", "strided", "row", "column", "number", "scalar"])
def test_two_operands_are_the_primitive(op: str, other: str) -> None:
    others = {
        "same": random(2, 2, 5, 5, 24), "strided": _strided(2), "row": random(2, 24), "column": random(2, 2, 5, 5, 1),
        "number": 2.5, "scalar": random(2, 1),
    }  # fmt: skip
    check(make(op, _strided(1), others[other], pitch=3), 1e-6)
    check(make(op, random(1, 2, 5, 5, 24), others[other]), 1e-6)


def test_a_number_may_come_first() -> None:
    check(make("sub", 1.0, random(1, 3, 100)), 1e-6)


def test_a_sum_with_activation_is_the_primitive() -> None:
    check(make("add_act", _strided(1), _strided(2), activation="relu"), 1e-6)


def test_maxima_keep_the_nan_of_either_side() -> None:
    a, b = random(1, 1, 40), random(2, 1, 40)
    a[0, 3], b[0, 5] = np.nan, np.nan
    for op in ("maximum", "minimum"):
        for variant in VARIANTS:
            for met in outputs(make(op, a, b), variant).values():
                np.testing.assert_array_equal(met, reference(make(op, a, b)))


def test_an_affine_step_is_the_primitive() -> None:
    check(make("affine_nhwc", _strided(1), random(2, 24), random(3, 24), activation="relu", pitch=2), 1e-6)


@pytest.mark.parametrize("columns", [1, 5, 16, 37, 1000])
def test_softmax_is_the_primitive(columns: int) -> None:
    check(make("softmax", random(1, 3, 4, columns) * 5, dim=-1), 2e-6)


def test_softmax_of_large_numbers_and_infinity_is_the_primitive() -> None:
    x = np.array([[1e4, 1e4 - 1, -np.inf, 0.0], [3e38, 1.0, 2.0, -3e38], [np.nan, 0, 0, 0]], np.float32)
    for variant in VARIANTS:
        for met in outputs(make("softmax", x, dim=1), variant).values():
            np.testing.assert_allclose(met, reference(make("softmax", x, dim=1)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(3, 5, 37), (2, 256), (1, 1, 7)])
@pytest.mark.parametrize("given", [True, False])
def test_layer_norm_is_the_primitive(shape: tuple[int, ...], given: bool) -> None:
    weight, bias = (random(2, shape[-1]), random(3, shape[-1])) if given else (None, None)
    check(make("layer_norm", random(1, *shape) + 3, weight, bias, dims=1, eps=1e-5), 3e-6)


def test_layer_norm_over_two_dims_is_the_primitive() -> None:
    check(make("layer_norm", random(1, 4, 6, 10), random(2, 6, 10), random(3, 6, 10), dims=2, eps=1e-5), 3e-6)


POOLS = [
    {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)},
    {"kernel": (3, 3), "stride": (2, 2), "padding": (0, 0, 1, 1)},
    {"kernel": (2, 3), "stride": (1, 2), "padding": (0, 1, 1, 0)},
    {"kernel": (5, 5), "stride": (1, 1), "padding": (2, 2, 2, 2)},
]


@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize("image", [(1, 9, 11, 40), (3, 8, 8, 5)])
def test_pools_are_the_primitives(how: dict[str, Any], image: tuple[int, ...]) -> None:
    x = random(1, *image, pitch=3)
    check(make("max_pool_nhwc", x, pitch=1, **how), 1e-7)
    check(make("avg_pool_nhwc", x, count_include_pad=False, divisor=None, **how), 1e-6)
    check(make("avg_pool_nhwc", x, count_include_pad=True, divisor=None, **how), 1e-6)
    check(make("avg_pool_nhwc", x, count_include_pad=False, divisor=7, **how), 1e-6)


def test_a_dilated_pool_is_the_primitive() -> None:
    how = {"kernel": (3, 3), "stride": (1, 1), "padding": (2, 2, 2, 2), "dilation": (2, 2)}
    check(make("max_pool_nhwc", random(1, 2, 9, 9, 20), **how), 1e-7)


def test_a_pool_keeps_nan() -> None:
    x = random(1, 1, 8, 8, 20)
    x[0, 4, 4, 3] = np.nan
    step = make("max_pool_nhwc", x, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    for variant in VARIANTS:
        for met in outputs(step, variant).values():
            np.testing.assert_array_equal(met, reference(step))


def test_the_mean_of_images_is_the_primitive() -> None:
    check(make("mean_nhwc", random(1, 3, 7, 7, 37, pitch=5)), 1e-6)


COPIES: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("permute", (2, 3, 8, 9), {"dims": (0, 2, 3, 1)}),
    ("permute", (2, 8, 9, 20), {"dims": (0, 3, 1, 2)}),
    ("getitem", (4, 6, 10), {"index": (slice(1, 3), slice(None, None, 2))}),
    ("reshape", (4, 6, 10), {"shape": (24, 10)}),
    ("expand", (1, 6, 1), {"shape": (4, 6, 10)}),
    ("clone", (5, 33), {}),
]


@pytest.mark.parametrize(("op", "shape", "how"), COPIES)
def test_a_copy_is_the_primitive(op: str, shape: tuple[int, ...], how: dict[str, Any]) -> None:
    check(make(op, random(1, *shape), **how), 1e-9)


@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_a_concatenation_is_the_primitive(dim: int) -> None:
    check(make("cat", random(1, 2, 4, 6), random(2, 2, 4, 6, pitch=2), random(3, 2, 4, 6), dim=dim), 1e-9)


def _attention(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], mask: Any = None, **how: Any) -> Step:
    parts = [random(i, *shape) for i, shape in enumerate((q, k, v))]
    return make("scaled_dot_product_attention", *parts, mask, scale=q[-1] ** -0.5, **how)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_the_primitive(causal: bool) -> None:
    check(_attention((2, 4, 70, 32), (2, 4, 70, 32), (2, 4, 70, 32), causal=causal), 3e-6)
    check(_attention((1, 2, 9, 20), (1, 2, 13, 20), (1, 2, 13, 37), causal=causal), 3e-6)
    check(_attention((3, 5, 64), (3, 130, 64), (3, 130, 64), causal=causal), 3e-6)


def test_attention_adds_a_mask_and_gives_zeros_where_nothing_is_seen() -> None:
    mask = random(7, 1, 1, 9, 13)
    mask[..., 4, :] = -np.inf
    check(_attention((2, 2, 9, 20), (2, 2, 13, 20), (2, 2, 13, 20), mask), 3e-6)
