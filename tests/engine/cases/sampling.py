"""Sampling images at any places."""

import numpy as np

from .case import case, some

GRID = some(2, 3, 2, 2, low=-1.4, high=1.4)
SPACE = some(1, 2, 3, 2, 3, low=-1.2, high=1.2)


def sampled(shape: tuple[int, ...], grid: np.ndarray, mode: str, border: str, align: bool):  # type: ignore[no-untyped-def]
    return case(
        some(*shape), grid, mode=mode, padding_mode=border, align_corners=align, smooth=False,
        torch=lambda t, x, g: t.nn.functional.grid_sample(x, g, mode, border, align),
    )  # fmt: skip


ROWS = {
    "grid_sample": [
        *(
            sampled((2, 3, 4, 5), GRID, mode, border, align)
            for mode in ("nearest", "bilinear", "bicubic")
            for border in ("zeros", "border", "reflection")
            for align in (False, True)
        ),
        sampled((1, 2, 3, 4, 3), SPACE, "bilinear", "zeros", False),
        sampled((1, 2, 3, 4, 3), SPACE, "nearest", "border", True),
    ],
}
