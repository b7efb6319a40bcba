"""Products of matrices and vectors."""

from __future__ import annotations

from typing import Any, Self

from ..dtype import Number
from ..errors import ShapeError
from ..ops import elementwise
from ..ops import matmul as ops
from .base import M, Methods, of_two, reflected


class MatmulMethods(Methods):
    """Products of matrices and vectors."""

    __slots__ = ()

    matmul = __matmul__ = of_two(ops.matmul)
    __rmatmul__ = reflected(ops.matmul)

    def mm(self, mat2: Self) -> Self:
        """The product of two matrices. Source: torch.mm."""
        return self._strict("mm", mat2, 2, 2)

    def bmm(self, mat2: Self) -> Self:
        """The products of two batches of matrices. Source: torch.bmm."""
        if self.array.shape[:1] != mat2.array.shape[:1]:
            raise ShapeError(f"bmm: {self.array.shape} and {mat2.array.shape}: the batch sizes differ")
        return self._strict("bmm", mat2, 3, 3)

    def mv(self, vec: Self) -> Self:
        """The product of a matrix and a vector. Source: torch.mv."""
        return self._strict("mv", vec, 2, 1)

    def dot(self, tensor: Self) -> Self:
        """The product of two vectors. Source: torch.dot."""
        return self._strict("dot", tensor, 1, 1)

    inner = dot

    def outer(self, vec2: Self) -> Self:
        """The products of all pairs of two vectors' elements. Source: torch.outer."""
        if self.array.ndim != 1 or vec2.array.ndim != 1:
            raise ShapeError(f"outer: {self.array.shape} and {vec2.array.shape}: expected two vectors")
        column: Any = self
        return column[:, None]._apply(elementwise.mul, vec2)  # type: ignore[no-any-return]

    ger = outer

    def addmm(self, mat1: Self, mat2: Self, *, beta: Number = 1, alpha: Number = 1) -> Self:
        """beta * self + alpha * (mat1 @ mat2). Source: torch.addmm."""
        return _weighted(self, beta)._apply(elementwise.add, _weighted(mat1.mm(mat2), alpha))

    def addmv(self, mat: Self, vec: Self, *, beta: Number = 1, alpha: Number = 1) -> Self:
        """beta * self + alpha * (mat @ vec). Source: torch.addmv."""
        return _weighted(self, beta)._apply(elementwise.add, _weighted(mat.mv(vec), alpha))

    def baddbmm(self, batch1: Self, batch2: Self, *, beta: Number = 1, alpha: Number = 1) -> Self:
        """beta * self + alpha * (batch1 @ batch2). Source: torch.baddbmm."""
        return _weighted(self, beta)._apply(elementwise.add, _weighted(batch1.bmm(batch2), alpha))

    def _strict(self, name: str, other: Self, dims: int, other_dims: int) -> Self:
        if self.array.ndim != dims or other.array.ndim != other_dims:
            raise ShapeError(
                f"{name}: {self.array.shape} and {other.array.shape}: expected {dims} and {other_dims} dims; "
                "matmul takes any"
            )
        return self._apply(ops.matmul, other)


def _weighted(tensor: M, weight: Number) -> M:
    return tensor if weight == 1 else tensor._apply(elementwise.mul, weight)
