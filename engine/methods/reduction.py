"""Sums, extremes and other folds over dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar

from ..dtype import DType
from ..ops import elementwise, reduction, unary
from ..ops.comparison import logical_not, masked_fill
from .base import Methods, spelled_as_numpy

T = TypeVar("T")
Dims = int | Sequence[int] | None


class ValuesIndices(NamedTuple, Generic[T]):
    """What max, topk, sort and their like give. Source: torch.return_types."""

    values: T
    indices: T


class ReductionMethods(Methods):
    """Folds over one, several or (by default) all dims; `keepdim` leaves them as size 1."""

    __slots__ = ()

    def _over(self, dim: Dims) -> int | tuple[int, ...] | None:
        """A dim or several; no dim at all stands for all of them, as does any of a 0-d tensor's."""
        if dim is None or isinstance(dim, int):
            return dim if self.array.ndim or dim not in (0, -1) else None
        return tuple([int(d) for d in dim]) or None

    @spelled_as_numpy
    def sum(self, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Self:
        """The sum. Source: torch.sum."""
        return self._apply(reduction.sum, dim=self._over(dim), keepdim=keepdim, dtype=dtype)

    @spelled_as_numpy
    def mean(self, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Self:
        """The mean. Source: torch.mean."""
        return self._apply(reduction.mean, dim=self._over(dim), keepdim=keepdim, dtype=dtype)

    @spelled_as_numpy
    def prod(self, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Self:
        """The product. Source: torch.prod."""
        return self._apply(reduction.prod, dim=self._over(dim), keepdim=keepdim, dtype=dtype)

    @spelled_as_numpy
    def amax(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """The greatest. Source: torch.amax."""
        return self._apply(reduction.amax, dim=self._over(dim), keepdim=keepdim)

    @spelled_as_numpy
    def amin(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """The least. Source: torch.amin."""
        return self._apply(reduction.amin, dim=self._over(dim), keepdim=keepdim)

    @spelled_as_numpy
    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The greatest of all; (values, indices) along a dim; or the greater of two tensors. Source: torch.max."""
        if isinstance(dim, Methods):
            return self._apply(elementwise.maximum, dim)
        if dim is None:
            return self._apply(reduction.amax)
        return ValuesIndices(*self._apply_many(reduction.max_dim, dim=dim, keepdim=keepdim))

    @spelled_as_numpy
    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The least of all; (values, indices) along a dim; or the lesser of two tensors. Source: torch.min."""
        if isinstance(dim, Methods):
            return self._apply(elementwise.minimum, dim)
        if dim is None:
            return self._apply(reduction.amin)
        return ValuesIndices(*self._apply_many(reduction.min_dim, dim=dim, keepdim=keepdim))

    @spelled_as_numpy
    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Self:
        """Where the greatest is. Source: torch.argmax."""
        return self._apply(reduction.argmax, dim=self._over(dim), keepdim=keepdim)

    @spelled_as_numpy
    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Self:
        """Where the least is. Source: torch.argmin."""
        return self._apply(reduction.argmin, dim=self._over(dim), keepdim=keepdim)

    @spelled_as_numpy
    def any(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """Whether an element is other than 0. Source: torch.any."""
        return self._apply(reduction.any, dim=self._over(dim), keepdim=keepdim)

    @spelled_as_numpy
    def all(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """Whether all elements are other than 0. Source: torch.all."""
        return self._apply(reduction.all, dim=self._over(dim), keepdim=keepdim)

    @spelled_as_numpy
    def var(
        self, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
    ) -> Self:
        """The variance, over count - correction; 1 unless told or `unbiased` is off. Source: torch.var."""
        over = float(unbiased) if correction is None else correction
        return self._apply(reduction.var, dim=self._over(dim), correction=over, keepdim=keepdim)

    @spelled_as_numpy
    def std(
        self, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
    ) -> Self:
        """The root of the variance. Source: torch.std."""
        over = float(unbiased) if correction is None else correction
        return self._apply(reduction.std, dim=self._over(dim), correction=over, keepdim=keepdim)

    def norm(self, p: float | str | None = 2, dim: Dims = None, keepdim: bool = False) -> Self:
        """The length of vectors: the root of the sum of squares, or another p-norm. Source: torch.norm."""
        power = 2.0 if p is None or p == "fro" else float(p)
        return self._apply(reduction.norm, p=power, dim=self._over(dim), keepdim=keepdim)

    def nansum(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """The sum with 0 for nan. Source: torch.nansum."""
        return self._without_nan().sum(dim, keepdim)

    def nanmean(self, dim: Dims = None, keepdim: bool = False) -> Self:
        """The mean of what is not nan. Source: torch.nanmean."""
        present = self._apply(unary.isnan)._apply(logical_not).sum(dim, keepdim)
        return self.nansum(dim, keepdim)._apply(elementwise.div, present)

    def _without_nan(self) -> Self:
        return self._apply(masked_fill, self._apply(unary.isnan), 0)

    def count_nonzero(self, dim: Dims = None) -> Self:
        """How many elements are other than 0. Source: torch.count_nonzero."""
        return self._apply(logical_not)._apply(logical_not).sum(dim)

    def logsumexp(self, dim: Dims, keepdim: bool = False) -> Self:
        """log(sum(exp(x))). Source: torch.logsumexp."""
        return self._apply(reduction.logsumexp, dim=self._over(dim), keepdim=keepdim)

    def softmax(self, dim: int, dtype: DType | None = None) -> Self:
        """exp(x) over its sum along a dim. Source: torch.softmax."""
        x = self if dtype is None else self._apply(unary.cast, dtype=dtype)
        return x._apply(reduction.softmax, dim=dim)

    def log_softmax(self, dim: int, dtype: DType | None = None) -> Self:
        """The logarithm of softmax. Source: torch.log_softmax."""
        x = self if dtype is None else self._apply(unary.cast, dtype=dtype)
        return x._apply(reduction.log_softmax, dim=dim)

    def diff(self, n: int = 1, dim: int = -1) -> Self:
        """The differences of neighbours along a dim, n times over. Source: torch.diff."""
        x: Any = self
        for _ in range(n):
            size = x.size(dim)
            x = x.narrow(dim, 1, size - 1) - x.narrow(dim, 0, size - 1)
        return x  # type: ignore[no-any-return]

    @spelled_as_numpy
    def cumsum(self, dim: int, *, dtype: DType | None = None) -> Self:
        """The running sum along a dim. Source: torch.cumsum."""
        return self._apply(reduction.cumsum, dim=dim, dtype=dtype)

    @spelled_as_numpy
    def cumprod(self, dim: int, *, dtype: DType | None = None) -> Self:
        """The running product along a dim. Source: torch.cumprod."""
        return self._apply(reduction.cumprod, dim=dim, dtype=dtype)
