"""Size, the shape of a tensor as PyTorch gives it."""

from __future__ import annotations

import math


class Size(tuple[int, ...]):
    """A tuple of sizes, one a dim. Source: torch.Size."""

    __slots__ = ()

    def numel(self) -> int:
        """How many elements a tensor of this shape has."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"Size({list(self)})"
