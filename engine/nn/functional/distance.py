"""Distances and cosines between vectors."""

from __future__ import annotations

from ...tensor import Tensor


def norm_along(input: Tensor, p: float, dim: int, keepdim: bool) -> Tensor:
    """The p-norm along a dim."""
    if p == 2:
        return (input * input).sum(dim, keepdim).sqrt()
    return input.abs().pow(p).sum(dim, keepdim).pow(1 / p)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along a dim."""
    lengths = [norm_along(x, 2, dim, False).clamp(min=eps) for x in (x1, x2)]
    return (x1 * x2).sum(dim) / (lengths[0] * lengths[1])


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dim."""
    return norm_along(x1 - x2 + eps, p, -1, keepdim)
