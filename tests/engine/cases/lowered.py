"""What graphs are lowered to, one window at a time."""

import math

import numpy as np

from .case import case, some

_BENT = {
    "": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.minimum(np.maximum(x, 0), 6),
    "clamp:-0.5:0.25": lambda x: np.minimum(np.maximum(x, -0.5), 0.25),
    "leaky_relu:0.1": lambda x: np.where(x > 0, x, x / 10),
    "elu:0.5": lambda x: np.where(x > 0, x, np.expm1(x) / 2),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "hardsigmoid": lambda x: np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
    "hardswish": lambda x: x * np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def _at_windows(x, kernel, stride, padding, dilation, fill, of):
    """of(window (kH, kW, C)) for every window of every image."""
    top, left, bottom, right = padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    counts = [
        (size - d * (k - 1) - 1) // s + 1 for size, k, s, d in zip(x.shape[1:3], kernel, stride, dilation, strict=True)
    ]
    rows = [
        [
            of(x[n, r * stride[0] :, c * stride[1] :][: kernel[0] * dilation[0] : dilation[0]][
                :, : kernel[1] * dilation[1] : dilation[1]
            ])
            for c in range(counts[1])
        ]
        for n in range(len(x))
        for r in range(counts[0])
    ]  # fmt: skip
    return np.array(rows).reshape(len(x), *counts, -1)


def _conv(x, weight, bias, residual, low, high, stride, padding, dilation, groups, activation):
    x = x if low is None else np.maximum(x, low)
    x = x if high is None else np.minimum(x, high)
    channels, outputs = weight.shape[2], weight.shape[3] // groups

    def product(window):
        return np.concatenate([
            np.einsum(
                "hwc,hwco->o",
                window[..., g * channels : (g + 1) * channels],
                weight[..., g * outputs : (g + 1) * outputs],
            )
            for g in range(groups)
        ])  # fmt: skip

    out = _at_windows(x, weight.shape[:2], stride, padding, dilation, 0, product) + bias
    return _BENT[activation](out if residual is None else out + residual)


def _convolution(x, weight, *, residual=None, low=None, high=None, **given):
    options = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "activation": "", **given}
    return case(
        some(*x), some(*weight), some(weight[-1]), residual, low, high, smooth=False, **options,
        reference=lambda *operands: _conv(*operands, **options),
    )  # fmt: skip


def _gemm(x, residual=None, activation=""):
    return case(
        some(*x), some(x[-1], 3), some(3), residual, activation=activation, smooth=False,
        reference=lambda x, w, b, r: _BENT[activation](x @ w + b + (0 if r is None else r)),
    )  # fmt: skip


def _max_pool(x, kernel, stride, padding=(0, 0, 0, 0), dilation=(1, 1)):
    return case(
        some(*x), kernel=kernel, stride=stride, padding=padding, dilation=dilation, smooth=False,
        reference=lambda x: _at_windows(x, kernel, stride, padding, dilation, -np.inf, lambda w: w.max((0, 1))),
    )  # fmt: skip


def _avg_pool(x, kernel, stride, padding=(0, 0, 0, 0), count_include_pad=False, divisor=None):
    def mean(window):
        if divisor or count_include_pad:
            return np.nansum(window, (0, 1)) / (divisor or kernel[0] * kernel[1])
        return np.nanmean(window, (0, 1))

    return case(
        some(*x), kernel=kernel, stride=stride, padding=padding, count_include_pad=count_include_pad, divisor=divisor,
        smooth=False, reference=lambda x: _at_windows(x, kernel, stride, padding, (1, 1), np.nan, mean),
    )  # fmt: skip


ROWS = {
    "conv_nhwc": [
        _convolution((2, 4, 5, 3), (1, 1, 3, 4)),
        _convolution((1, 5, 6, 2), (3, 2, 2, 3), stride=(2, 1), padding=(1, 0, 2, 1)),
        _convolution((1, 6, 6, 2), (3, 3, 2, 2), dilation=(2, 1), padding=(1, 1, 1, 1), activation="relu"),
        _convolution((1, 4, 4, 4), (3, 3, 2, 6), groups=2, residual=some(1, 2, 2, 6), activation="silu"),
        _convolution((1, 4, 4, 4), (3, 3, 1, 4), groups=4, padding=(1, 1, 1, 1), activation="relu6"),
        _convolution((2, 3, 3, 2), (1, 1, 2, 3), low=np.array([-np.inf, 0.1]), high=np.array([0.2, np.inf])),
        _convolution((2, 3, 3, 2), (1, 1, 2, 3), low=np.array([-0.5, 0.1]), residual=some(2, 3, 3, 3)),
    ],
    "gemm": [_gemm((4, 2)), _gemm((2, 3, 2), some(2, 3, 3), "relu"), *(_gemm((4, 5), None, name) for name in _BENT)],
    "affine_nhwc": [
        case(some(2, 3, 2), some(2), some(2), reference=lambda x, s, b: x * s + b, smooth=False),
        case(
            some(2, 3, 3, 2), some(2), some(2), activation="relu", smooth=False,
            reference=lambda x, s, b: np.maximum(x * s + b, 0),
        ),
    ],
    "add_act": [
        case(some(3, 2), some(3, 2), activation="tanh", reference=lambda a, b: np.tanh(a + b), smooth=False),
        case(some(3, 2), some(2), activation="", reference=lambda a, b: a + b, smooth=False),
    ],
    "max_pool_nhwc": [
        _max_pool((2, 4, 5, 3), (2, 2), (2, 2)),
        _max_pool((1, 5, 5, 2), (3, 3), (2, 2), (1, 1, 1, 1)),
        _max_pool((1, 7, 6, 2), (3, 2), (3, 3), (0, 0, 2, 2), (2, 1)),
    ],
    "avg_pool_nhwc": [
        _avg_pool((2, 4, 5, 3), (2, 2), (2, 2)),
        _avg_pool((1, 5, 5, 2), (3, 3), (2, 2), (1, 1, 1, 1)),
        _avg_pool((1, 5, 5, 2), (3, 3), (2, 2), (1, 1, 1, 1), count_include_pad=True),
        _avg_pool((1, 5, 4, 2), (2, 2), (2, 2), (0, 0, 1, 0), divisor=3),
    ],
    "mean_nhwc": [case(some(2, 3, 4, 5), reference=lambda x: x.sum((1, 2)) / 12, smooth=False)],
}  # fmt: skip
