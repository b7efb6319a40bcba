"""Convolutions, checked against loops over every output and every weight."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import case, some


def _places(shape: tuple[int, ...], kernel: tuple[int, ...], attributes: dict[str, Any]) -> Any:
    """(position of the output, of the kernel, of the input) wherever all three exist."""
    for index in np.ndindex(*shape):
        for point in np.ndindex(*kernel):
            spread = zip(index, point, attributes["stride"], attributes["dilation"], attributes["padding"], strict=True)
            yield index, point, tuple(i * s + p * d - before for i, p, s, d, (before, _) in spread)


def _conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, counts: tuple[int, ...], **a: Any) -> np.ndarray:
    out = np.zeros((len(x), len(weight), *counts)) + (0 if bias is None else bias.reshape(-1, *[1] * len(counts)))
    for image, output, channel in np.ndindex(len(x), *weight.shape[:2]):
        source = channel + output // (len(weight) // a["groups"]) * weight.shape[1]
        for index, point, place in _places(counts, weight.shape[2:], a):
            if all(0 <= p < n for p, n in zip(place, x.shape[2:], strict=True)):
                out[(image, output, *index)] += x[(image, source, *place)] * weight[(output, channel, *point)]
    return out


def _transpose(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, sizes: tuple[int, ...], **a: Any
) -> np.ndarray:
    outputs = weight.shape[1] * a["groups"]
    out = np.zeros((len(x), outputs, *sizes)) + (0 if bias is None else bias.reshape(-1, *[1] * len(sizes)))
    for image, channel, output in np.ndindex(len(x), *weight.shape[:2]):
        target = output + channel // (len(weight) // a["groups"]) * weight.shape[1]
        for index, point, place in _places(x.shape[2:], weight.shape[2:], a):
            if all(0 <= p < n for p, n in zip(place, sizes, strict=True)):
                out[(image, target, *place)] += x[(image, channel, *index)] * weight[(channel, output, *point)]
    return out


def _straight(x: Any, weight: Any, bias: Any, counts: tuple[int, ...], **given: Any) -> Any:
    dims = len(counts)
    a = {"stride": (1,) * dims, "padding": ((0, 0),) * dims, "dilation": (1,) * dims, "groups": 1, **given}
    return case(x, weight, bias, **a, reference=lambda x, w, b: _conv(x, w, b, counts, **a))


def _transposed(x: Any, weight: Any, bias: Any, sizes: tuple[int, ...], **given: Any) -> Any:
    dims = len(sizes)
    a = {"stride": (1,) * dims, "padding": ((0, 0),) * dims, "dilation": (1,) * dims, "groups": 1, **given}
    extra = a.pop("output_padding", (0,) * dims)
    return case(x, weight, bias, **a, output_padding=extra, reference=lambda x, w, b: _transpose(x, w, b, sizes, **a))


X = some(2, 4, 5, 4)
LAST = np.moveaxis(some(2, 5, 4, 4), -1, 1)

ROWS = {
    "conv": [
        _straight(X, some(3, 4, 3, 2), some(3), (3, 3)),
        _straight(LAST, some(3, 4, 3, 2), some(3), (3, 3)),
        _straight(X, some(3, 4, 1, 1), some(3), (5, 4)),
        _straight(LAST, some(3, 4, 1, 1), None, (5, 4)),
        _straight(X, some(3, 4, 1, 1), some(3), (2, 2), stride=(3, 2)),
        _straight(X, some(3, 4, 1, 1), None, (7, 4), padding=((2, 0), (0, 0))),
        _straight(X, some(40, 4, 2, 2), None, (2, 2), stride=(2, 2)),
        _straight(X, some(3, 4, 3, 3), some(3), (3, 2), stride=(2, 3), padding=((1, 1), (1, 2))),
        _straight(X, some(3, 4, 2, 2), None, (3, 4), dilation=(2, 2), padding=((0, 0), (0, 2))),
        _straight(X, some(3, 4, 1, 2), None, (2, 1), stride=(3, 4)),
        _straight(X, some(4, 2, 3, 3), some(4), (5, 4), padding=((1, 1), (1, 1)), groups=2),
        _straight(X, some(4, 1, 3, 3), some(4), (5, 4), padding=((1, 1), (1, 1)), groups=4),
        _straight(LAST, some(8, 1, 2, 3), None, (2, 2), stride=(2, 1), groups=4),
        _straight(X, some(2, 4, 3, 2), some(2), (3, 3)),
        _straight(LAST, some(1, 4, 3, 3), None, (5, 4), padding=((1, 1), (1, 1))),
        _straight(X, some(2, 4, 2, 2), some(2), (6, 2), dilation=(1, 2), padding=((2, 0), (0, 0))),
        _straight(some(1, 2, 1, 1), some(3, 2, 3, 3), some(3), (1, 1), padding=((1, 1), (1, 1))),
        _straight(np.zeros((0, 4, 5, 4)), some(3, 4, 3, 3), some(3), (3, 2)),
        _straight(some(2, 4, 7), some(3, 4, 3), some(3), (4,), stride=(2,), padding=((1, 1),)),
        _straight(some(2, 4, 7), some(4, 1, 3), None, (5,), groups=4),
        _straight(some(1, 2, 3, 3, 2), some(2, 2, 2, 2, 2), None, (2, 2, 1)),
    ],
    "conv_transpose": [
        _transposed(X, some(4, 3, 2, 3), some(3), (6, 6)),
        _transposed(LAST, some(4, 3, 2, 2), None, (10, 8), stride=(2, 2)),
        _transposed(
            X, some(4, 3, 3, 3), some(3), (10, 8), stride=(2, 2), padding=((1, 1), (1, 1)), output_padding=(1, 1)
        ),
        _transposed(X, some(4, 2, 2, 2), None, (7, 6), dilation=(2, 2), groups=2),
        _transposed(X, some(4, 3, 1, 1), None, (14, 8), stride=(3, 2), output_padding=(1, 1)),
        _transposed(X, some(4, 1, 2, 2), some(4), (6, 5), groups=4),
        _transposed(some(2, 4, 3), some(4, 2, 3), None, (7,), stride=(2,)),
        _transposed(np.zeros((0, 4, 5, 4)), some(4, 3, 2, 3), some(3), (6, 6)),
    ],
}
