"""Weights in the order that kernels read them: panels of output channels, and Winograd's 36 parts."""

from __future__ import annotations

import ctypes

import numpy as np

from ...dtype import Array
from ...graph.memory import aligned, fill
from .structures import Panel

POINTS = {4: (0.0, 0.625, -0.625, 1.5, -1.5), 2: (0.0, 1.0, -1.0)}  # and infinity; as in winograd.h


def _filter(m: int) -> Array:
    """G: a filter of 3 weights at each point, over the product of the point's differences to the others."""
    points = POINTS[m]
    rows = [[p**k / np.prod([p - q for q in points if q != p]) for k in range(3)] for p in points]
    return np.array([*rows, [0, 0, 1]])


def panel_widths(channels: int, lanes: int, widest: int) -> list[int]:
    """The vectors of each panel: as few panels as can be, of widths that differ by one at most."""
    vectors = -(-channels // lanes)
    count = -(-vectors // widest)
    return [vectors * (i + 1) // count - vectors * i // count for i in range(count)][::-1]


def panels(widths: list[int], lanes: int) -> ctypes.Array[Panel]:
    """The structures of panels side by side."""
    ends = np.cumsum([0, *widths]) * lanes
    return (Panel * len(widths))(*[Panel(width, int(first)) for width, first in zip(widths, ends, strict=False)])


def pack(weights: Array, widths: list[int], lanes: int) -> Array:
    """(G, K, O) to [group][panel][K][vectors * lanes], channels that do not exist being zero."""
    groups, depth, channels = weights.shape
    padded = sum(widths) * lanes
    out = aligned((groups, depth * padded))
    first = 0
    for width in widths:
        panel = out[:, first * depth : (first + width * lanes) * depth].reshape(groups, depth, width * lanes)
        part = weights[:, :, first : first + width * lanes]
        for number in range(groups):
            fill(panel[number, :, : part.shape[2]], part[number])
        panel[:, :, part.shape[2] :] = 0
        first += width * lanes
    return out.reshape(-1)


def pack_winograd(weight: Array, m: int, widths: list[int], lanes: int, padded_channels: int) -> Array:
    """(3, 3, C, O) to [panel][(m + 2)²][padded C][vectors * lanes]; computed in double precision, rounded once."""
    channels = weight.shape[2]
    both = np.kron(_filter(m), _filter(m))
    out = aligned((len(both) * padded_channels * sum(widths) * lanes,))
    out.fill(0)
    first = 0
    for width in widths:  # one at a time, as the whole would leave every cache
        some = weight[..., first : first + width * lanes]
        start, size = first * len(both) * padded_channels, width * lanes * len(both) * padded_channels
        panel = out[start : start + size].reshape(len(both), padded_channels, width * lanes)
        parts = both @ some.reshape(9, -1).astype(np.float64)
        panel[:, :channels, : some.shape[3]] = parts.reshape(len(both), channels, -1)
        first += width * lanes
    return out
