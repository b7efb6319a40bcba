"""Order: sorting, the best few, medians, and counting what is equal."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ..errors import EngineError
from ..ops import reduction, sorting
from ..tracing import values_of
from .base import Methods
from .reduction import ValuesIndices


class SortingMethods(Methods):
    """Elements in order along a dim, the last by default; nan counts as the greatest."""

    __slots__ = ()

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesIndices[Self]:
        """All in order; equals keep theirs. Source: torch.sort."""
        return ValuesIndices(*self._apply_many(sorting.sort, dim=dim, descending=descending))

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = True) -> Self:
        """Where those are that would stand in order. Source: torch.argsort."""
        return self.sort(dim, descending).indices

    def msort(self) -> Self:
        """All in order along the first dim. Source: torch.msort."""
        return self.sort(0).values

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices[Self]:
        """The k greatest, or least. Source: torch.topk."""
        return ValuesIndices(*self._apply_many(sorting.topk, k=int(k), dim=dim, largest=largest, sorted=sorted))

    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices[Self]:
        """The k-th least, counted from 1. Source: torch.kthvalue."""
        return ValuesIndices(*self._apply_many(sorting.kthvalue, k=k, dim=dim, keepdim=keepdim))

    def median(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The middle of all; or (values, indices) along a dim; the lesser of two. Source: torch.median."""
        if dim is None:
            flat: Any = self
            return flat.reshape(-1).median(0)[0]
        return ValuesIndices(*self._apply_many(sorting.median, dim=dim, keepdim=keepdim))

    def quantile(self, q: float, dim: int | None = None, keepdim: bool = False) -> Self:
        """The value that a share q lies below, between neighbours by proportion. Source: torch.quantile."""
        if not 0 <= q <= 1:
            raise EngineError(f"quantile: q is {q}; expected a share between 0 and 1")
        whole: Any = self
        x = whole.reshape(-1) if dim is None else whole
        at = 0 if dim is None else dim
        ordered = x.sort(at)[0]
        place = q * (ordered.array.shape[at] - 1)
        low = ordered.narrow(at, int(place), 1)
        high = ordered.narrow(at, min(int(place) + 1, ordered.array.shape[at] - 1), 1)
        between = low.lerp(high, place - int(place))
        if dim is None:
            return between.reshape([1] * self.array.ndim if keepdim else [])  # type: ignore[no-any-return]
        return between if keepdim else between.squeeze(at)  # type: ignore[no-any-return]

    def cummax(self, dim: int) -> ValuesIndices[Self]:
        """The greatest so far. Source: torch.cummax."""
        return ValuesIndices(*self._apply_many(sorting.cummax, dim=dim))

    def cummin(self, dim: int) -> ValuesIndices[Self]:
        """The least so far. Source: torch.cummin."""
        return ValuesIndices(*self._apply_many(sorting.cummin, dim=dim))

    def unique(
        self, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
    ) -> Any:
        """The different elements in order; with them, which each is and how many there are. Source: torch.unique."""
        values, inverse, counts = self._apply_many(sorting.unique, dim=dim)
        extra = ((inverse,) if return_inverse else ()) + ((counts,) if return_counts else ())
        return (values, *extra) if extra else values

    def aminmax(self, *, dim: int | None = None, keepdim: bool = False) -> tuple[Self, Self]:
        """The least and the greatest. Source: torch.aminmax."""
        how = {"dim": dim, "keepdim": keepdim}
        return self._apply(reduction.amin, **how), self._apply(reduction.amax, **how)

    def unique_consecutive(self, return_inverse: bool = False, return_counts: bool = False) -> Any:
        """The elements that differ from the one before, flattened. Source: torch.unique_consecutive."""
        flat = values_of(self, "unique_consecutive()").reshape(-1)
        fresh = np.ones(flat.size, bool)
        fresh[1:] = flat[1:] != flat[:-1]
        starts = np.flatnonzero(fresh)
        inverse = self._plain((np.cumsum(fresh) - 1).reshape(self.array.shape))
        counts = self._plain(np.diff(np.append(starts, flat.size)))
        extra = ((inverse,) if return_inverse else ()) + ((counts,) if return_counts else ())
        values = self._plain(flat[starts])
        return (values, *extra) if extra else values

    def bincount(self, weights: Self | None = None, minlength: int = 0) -> Self:
        """How often each whole number occurs. Source: torch.bincount."""
        return self._apply(sorting.bincount, *(() if weights is None else (weights,)), minlength=minlength)

    def histc(self, bins: int = 100, min: float = 0, max: float = 0) -> Self:
        """How many elements lie in each of evenly wide bins. Source: torch.histc."""
        return self._apply(sorting.histc, bins=bins, min=min, max=max)
