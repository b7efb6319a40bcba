"""The native convolutions and products, by all algorithms and variants, against the primitives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from .steps import VARIANTS, Step, check, make, outputs, random, reference

ALL_ROUND = (1, 1, 1, 1)


@dataclass(frozen=True)
class Shape:
    """A convolution: image (N, H, W, C), output channels, filter, and what else is said of it."""

    image: tuple[int, int, int, int]
    out: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    activation: str = ""
    residual: bool = False
    clip: bool = False
    pitch: int = 0


SHAPES = {
    "3x3": Shape((1, 9, 9, 32), 40, (3, 3), padding=ALL_ROUND, activation="relu", residual=True),
    "3x3 odd channels": Shape((3, 8, 7, 17), 70, (3, 3), padding=ALL_ROUND, pitch=5, activation="relu"),
    "3x3 uneven padding": Shape((2, 6, 10, 16), 16, (3, 3), padding=(0, 1, 2, 0)),
    "3x3 of one pixel": Shape((1, 1, 1, 64), 64, (3, 3), padding=ALL_ROUND),
    "3x3 batch 17": Shape((17, 5, 5, 64), 128, (3, 3), padding=ALL_ROUND, activation="silu"),
    "3x3 many channels": Shape((1, 14, 14, 192), 48, (3, 3), padding=ALL_ROUND, pitch=16),
    "3x3 strided": Shape((3, 11, 9, 24), 33, (3, 3), (2, 2), ALL_ROUND, activation="relu6", residual=True, pitch=3),
    "3x3 dilated": Shape((1, 14, 14, 20), 16, (3, 3), padding=(2, 2, 2, 2), dilation=(2, 2)),
    "stem": Shape((2, 31, 30, 3), 64, (7, 7), (2, 2), (3, 3, 3, 3), activation="relu"),
    "stem of one channel": Shape((1, 12, 12, 1), 8, (5, 5), padding=(2, 2, 2, 2), activation="tanh"),
    "stem not padded": Shape((1, 19, 19, 3), 32, (3, 3), (2, 2)),
    "1x1": Shape((3, 7, 7, 130), 33, (1, 1), activation="hardswish", residual=True, pitch=3),
    "1x1 clipped": Shape((1, 7, 7, 130), 33, (1, 1), clip=True, pitch=3),
    "1x1 clipped, batch 3": Shape((3, 14, 14, 67), 128, (1, 1), clip=True),
    "1x1 deep": Shape((1, 7, 7, 1056), 192, (1, 1), activation="leaky_relu:0.1"),
    "1x1 deep prime": Shape((1, 5, 5, 523), 20, (1, 1)),
    "1x1 strided": Shape((2, 9, 9, 48), 96, (1, 1), (2, 2)),
    "1x1 padded": Shape((1, 5, 5, 8), 16, (1, 1), padding=ALL_ROUND),
    "1x7": Shape((2, 9, 9, 16), 24, (1, 7), padding=(0, 3, 0, 3)),
    "7x1": Shape((2, 9, 9, 16), 24, (7, 1), padding=(3, 0, 3, 0), activation="gelu"),
    "grouped": Shape((2, 9, 9, 24), 48, (3, 3), (2, 2), ALL_ROUND, groups=4, residual=True),
    "grouped, wide": Shape((1, 6, 6, 64), 160, (3, 3), padding=ALL_ROUND, groups=2),
    "depthwise": Shape((3, 9, 9, 37), 37, (3, 3), (2, 2), ALL_ROUND, groups=37, activation="hardswish", residual=True),
    "depthwise 5x5": Shape((1, 7, 10, 64), 64, (5, 5), padding=(2, 2, 2, 2), groups=64, activation="sigmoid", pitch=4),
    "depthwise stride 1": Shape((2, 6, 14, 67), 67, (3, 3), padding=ALL_ROUND, groups=67, activation="relu6", pitch=5),
    "depthwise uneven": Shape((2, 7, 9, 32), 32, (3, 3), (2, 1), (0, 1, 2, 0), groups=32, residual=True, pitch=16),
    "depthwise narrow": Shape((3, 5, 2, 16), 16, (3, 3), padding=ALL_ROUND, groups=16),
    "depthwise dilated": Shape((1, 9, 9, 20), 20, (3, 3), padding=(2, 2, 2, 2), dilation=(2, 2), groups=20),
    "depthwise stride 3": Shape((1, 11, 11, 20), 20, (3, 3), (3, 3), groups=20, activation="relu"),
    "depthwise to more": Shape((1, 7, 7, 8), 16, (3, 3), padding=ALL_ROUND, groups=8),
}


def build(shape: Shape, **overrides: Any) -> Step:
    channels = shape.image[3]
    x = overrides.get("x", random(1, *shape.image, pitch=shape.pitch))
    weight, bias = random(2, *shape.kernel, channels // shape.groups, shape.out), random(3, shape.out)
    low = random(4, channels) - 1 if shape.clip else None
    high = low + 1.5 if low is not None else None
    how = {
        "stride": shape.stride, "padding": shape.padding, "dilation": shape.dilation, "groups": shape.groups,
        "activation": shape.activation,
    }  # fmt: skip
    plain = make("conv_nhwc", x, weight, bias, None, low, high, **how)
    residual = random(5, *plain.output.shape, pitch=shape.pitch) if shape.residual else None
    return make("conv_nhwc", x, weight, bias, residual, low, high, pitch=shape.pitch, **how)


@pytest.mark.parametrize("name", SHAPES)
def test_a_convolution_is_the_primitive(name: str) -> None:
    check(build(SHAPES[name]))


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 17, 64])
@pytest.mark.parametrize(("depth", "features"), [(64, 10), (300, 64), (1024, 200), (2304, 33)])
def test_a_product_is_the_primitive(rows: int, depth: int, features: int) -> None:
    x, weight, bias = random(1, rows, depth), random(2, depth, features), random(3, features)
    check(make("gemm", x, weight, bias, None, activation="relu"))


def test_a_product_adds_a_residual_and_takes_more_dims() -> None:
    x, weight, bias, residual = random(1, 2, 5, 96), random(2, 96, 70), random(3, 70), random(4, 2, 5, 70)
    check(make("gemm", x, weight, bias, residual, activation="gelu_tanh"))


def test_a_bound_may_be_given_on_one_side() -> None:
    x, weight, bias = random(1, 1, 5, 5, 24), random(2, 1, 1, 24, 16), random(3, 16)
    how = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "activation": ""}
    check(make("conv_nhwc", x, weight, bias, None, random(4, 24), None, **how))
    check(make("conv_nhwc", x, weight, bias, None, None, random(4, 24), **how))


@pytest.mark.parametrize("name", ["3x3", "1x1 clipped", "stem", "depthwise", "grouped"])
def test_nan_and_infinity_reach_what_they_do_in_numpy(name: str) -> None:
    x = random(1, *SHAPES[name].image)
    x[0, 3, 3, 0], x[0, 5, 2, 0] = np.nan, np.inf
    step = build(SHAPES[name], x=x)
    expected = reference(step)
    assert np.isnan(expected).any()
    for variant in VARIANTS:
        for met in outputs(step, variant, exact=True).values():
            np.testing.assert_array_equal(np.isnan(met), np.isnan(expected))


@pytest.mark.parametrize("channels", [32, 64, 256])
def test_the_error_of_winograd_is_at_most_three_times_that_of_the_direct_algorithm(channels: int) -> None:
    step = build(Shape((1, 14, 14, channels), 64, (3, 3), padding=ALL_ROUND))
    exact = _in_double(step)
    for variant in VARIANTS:
        found = {name.split()[0]: np.abs(y - exact).max() for name, y in outputs(step, variant).items()}
        assert found["winograd"] <= 3 * found["direct"]


def test_exact_leaves_winograd_out() -> None:
    names = outputs(build(SHAPES["3x3"]), VARIANTS[0], exact=True)
    assert names and not any("winograd" in name for name in names)


def _in_double(step: Step) -> np.ndarray:
    x, weight, bias = (np.asarray(i, np.float64) for i in step.inputs[:3])
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = x.shape[1:3]
    return sum(padded[:, i : i + h, j : j + w] @ weight[i, j] for i in range(3) for j in range(3)) + bias
