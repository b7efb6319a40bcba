"""Winograd's algorithm for 3x3 convolutions of stride 1: which tiles, and cut into which units."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import Any

from ...graph.memory import aligned
from ...graph.plan import Step
from .images import Images
from .packing import pack_winograd, panel_widths, panels
from .structures import Kind, Winograd
from .work import L2_BYTES, Candidates, Maker, Shop, Work, address, array, constant, finish_of, optional

FEW_PIXELS, MANY_PIXELS = 64, 1024  # between which both tiles are tried
FEWEST_CHANNELS = 16


def fits(step: Step) -> bool:
    """Whether a convolution is of the kind that the algorithm computes, with channels enough to pay for it."""
    how = step.attributes
    return (
        array(step, 1).shape[:2] == (3, 3) and how["stride"] == (1, 1) and how["dilation"] == (1, 1)
        and how["groups"] == 1 and array(step, 1).shape[2] >= FEWEST_CHANNELS and optional(step, 4) is None
        and optional(step, 5) is None
    )  # fmt: skip


def candidates(step: Step, shop: Shop) -> Candidates:
    """Blocks of tiles that stay near, or all at once; few pixels do not pay for the weights of the larger tile."""
    n, oh, ow, outputs = step.output.shape
    padded = shop.padded(array(step, 0).shape[3])
    found: dict[str, Maker] = {}
    for m in (4, 2):
        tiles = n * -(-oh // m) * -(-ow // m)
        if (m == 4 and n * oh * ow < FEW_PIXELS) or (m == 2 and n * oh * ow > MANY_PIXELS):
            continue
        tile_bytes = 4 * (m + 2) ** 2 * (padded + shop.lanes * shop.library.max_vectors)
        even = -(-tiles // (7 * shop.threads)) * 7  # one block for each thread
        for block in sorted({14, 28, 56, even}):
            if block <= even and tile_bytes * block <= 4 * L2_BYTES:
                found[f"winograd {m} blocks {block}"] = partial(_blocks, step, shop, m, block)
        if 4 * (m + 2) ** 2 * tiles * (padded + shop.padded(outputs)) <= 16 * L2_BYTES:
            found[f"winograd {m} in phases"] = partial(_phases, step, shop, m)
    return found


def _blocks(step: Step, shop: Shop, m: int, block: int) -> list[Work]:
    arguments, kept, tiles = _arguments(step, shop, m, block)
    arguments.block_tiles = block
    scratch = (m + 2) ** 2 * block * (arguments.padded_channels + shop.lanes * shop.library.max_vectors)
    return [Work(Kind.WINOGRAD, arguments, -(-tiles // block), scratch, kept, kept[:1])]


def _phases(step: Step, shop: Shop, m: int) -> list[Work]:
    arguments, kept, tiles = _arguments(step, shop, m)
    arguments.block_tiles = block = max(1, -(-tiles // (4 * shop.threads)))
    parts = (m + 2) ** 2
    images = aligned((parts * tiles * arguments.padded_channels,))
    products = aligned((parts * tiles * arguments.padded_out,))
    arguments.images, arguments.products = address(images), address(products)
    kept = (*kept, images, products)
    return [
        Work(Kind.WINOGRAD_INPUT, arguments, -(-tiles // block), 0, kept),
        Work(Kind.WINOGRAD_PRODUCT, arguments, parts * arguments.panel_count, 0, kept, kept[:1]),
        Work(Kind.WINOGRAD_OUTPUT, arguments, -(-tiles // block), 0, kept),
    ]


def _arguments(step: Step, shop: Shop, m: int, block: int | None = None) -> tuple[Winograd, tuple[Any, ...], int]:
    weight, images = constant(step, 1), Images(step)
    channels, outputs = weight.shape[2:]
    rows, columns = -(-images.out[1] // m), -(-images.out[2] // m)
    tiles = images.out[0] * rows * columns
    widths = panel_widths(outputs, shop.lanes, shop.widest(min(block or tiles, tiles)))
    padded = shop.padded(channels)
    packed = shop.packed.get(
        weight, ("winograd", m, tuple(widths), shop.lanes), lambda: pack_winograd(weight, m, widths, shop.lanes, padded)
    )
    bias, structures = shop.vector(constant(step, 2)), panels(widths, shop.lanes)
    arguments = Winograd(
        **images.common(), weights=address(packed), bias=address(bias), panels=ctypes.addressof(structures),
        channels=channels, padded_channels=padded, out_channels=outputs, padded_out=sum(widths) * shop.lanes,
        panel_count=len(widths), m=m, tiles_y=rows, tiles_x=columns,
        finish=finish_of(step.attributes["activation"]),
    )  # fmt: skip
    kept = (packed, bias, structures, images.x, images.y, images.residual)
    return arguments, kept, tiles
