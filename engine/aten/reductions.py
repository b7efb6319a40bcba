"""Operators that fold dims, and those that order what lies along one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dtype import DType
from ..errors import EngineError, UnsupportedOpError
from ..functions import cross, isin, std_mean, var_mean
from ..nn import functional
from ..tensor import Tensor
from .arguments import dtype_of, several
from .table import aten, enter, in_place

Dims = int | Sequence[int] | None


@aten("sum")
def _(self: Any, dim: Dims = None, keepdim: bool = False, *, dtype: DType | int | None = None) -> Any:
    return self.sum(several(dim), keepdim, dtype=dtype_of(dtype)) if isinstance(self, Tensor) else sum(self)


@aten("mean")
def _(self: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | int | None = None) -> Tensor:
    return self.mean(several(dim), keepdim, dtype=dtype_of(dtype))


@aten("prod")
def _(self: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | int | None = None) -> Tensor:
    return self.prod(several(dim), keepdim, dtype=dtype_of(dtype))


@aten("nansum")
def _(self: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | int | None = None) -> Tensor:
    return self.nansum(several(dim), keepdim)


@aten("nanmean")
def _(self: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | int | None = None) -> Tensor:
    return self.nanmean(several(dim), keepdim)


@aten("amax")
def _(self: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    return self.amax(several(dim), keepdim)


@aten("amin")
def _(self: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    return self.amin(several(dim), keepdim)


@aten("max")
def _(self: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    return _pair(self.max(dim, keepdim))


@aten("min")
def _(self: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    return _pair(self.min(dim, keepdim))


def _pair(result: Any) -> Any:
    """Several results as a plain tuple."""
    return tuple(result) if isinstance(result, tuple) else result


@aten("argmax")
def _(self: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    return self.argmax(dim, keepdim)


@aten("argmin")
def _(self: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    return self.argmin(dim, keepdim)


@aten("any")
def _(self: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    return self.any(several(dim), keepdim) if isinstance(self, Tensor) else any(map(bool, self))


@aten("all")
def _(self: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    return self.all(several(dim), keepdim) if isinstance(self, Tensor) else all(map(bool, self))


@aten("count_nonzero")
def _(self: Tensor, dim: Dims = None) -> Tensor:
    return self.count_nonzero(several(dim))


@aten("logsumexp")
def _(self: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    return self.logsumexp(several(dim), keepdim)


def _corrected(
    dim: Dims | bool, unbiased: bool | float | None, keepdim: bool, correction: float | None
) -> tuple[Dims, float, bool]:
    """(dims, correction, keepdim) of the forms (unbiased), (dim, unbiased, keepdim) and (dim, correction=…)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    wanted = correction if correction is not None else 1.0 if unbiased is None else float(unbiased)
    return several(dim), wanted, keepdim


@aten("var")
def _(
    self: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    over, wanted, keep = _corrected(dim, unbiased, keepdim, correction)
    return self.var(over, correction=wanted, keepdim=keep)


@aten("std")
def _(
    self: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    over, wanted, keep = _corrected(dim, unbiased, keepdim, correction)
    return self.std(over, correction=wanted, keepdim=keep)


@aten("var_mean")
def _(
    self: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    over, wanted, keep = _corrected(dim, unbiased, keepdim, correction)
    return var_mean(self, over, correction=wanted, keepdim=keep)


@aten("std_mean")
def _(
    self: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    over, wanted, keep = _corrected(dim, unbiased, keepdim, correction)
    return std_mean(self, over, correction=wanted, keepdim=keep)


@aten("norm", "linalg_vector_norm", "linalg_norm")
def _(
    self: Tensor,
    p: float | str | None = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    ord: float | None = None,
    dtype: DType | int | None = None,
) -> Tensor:
    wanted = dtype_of(dtype)
    return (self.to(wanted) if wanted else self).norm(p if ord is None else ord, several(dim), keepdim)


@aten("frobenius_norm")
def _(self: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    return self.norm(2, several(dim), keepdim)


@aten("cumsum")
def _(self: Tensor, dim: int, *, dtype: DType | int | None = None) -> Tensor:
    return self.cumsum(dim, dtype=dtype_of(dtype))


@aten("cumprod")
def _(self: Tensor, dim: int, *, dtype: DType | int | None = None) -> Tensor:
    return self.cumprod(dim, dtype=dtype_of(dtype))


enter("cumsum_", in_place("cumsum"))
enter("cumprod_", in_place("cumprod"))


@aten("cummax")
def _(self: Tensor, dim: int) -> Any:
    return tuple(self.cummax(dim))


@aten("cummin")
def _(self: Tensor, dim: int) -> Any:
    return tuple(self.cummin(dim))


@aten("topk")
def _(self: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    return tuple(self.topk(k, dim, largest))


@aten("kthvalue")
def _(self: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    return tuple(self.kthvalue(k, dim, keepdim))


@aten("median")
def _(self: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    return _pair(self.median(dim, keepdim))


@aten("sort")
def _(self: Any, *args: Any, **named: Any) -> Any:
    """Of a tensor (dim, descending) or (stable, dim, descending); of a list in place (reverse)."""
    if isinstance(self, list):
        self.sort(reverse=bool(args[0] if args else named.get("reverse", False)))
        return None
    if named.keys() - {"dim", "descending", "stable"}:
        raise EngineError(f"sort: unknown arguments {', '.join(sorted(named))}")
    given = list(args[1:] if args and (isinstance(args[0], bool) or args[0] is None) else args)
    dim = given[0] if given else named.get("dim", -1)
    descending = given[1] if len(given) > 1 else named.get("descending", False)
    return tuple(self.sort(dim, descending))


@aten("argsort")
def _(self: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Tensor:
    return self.argsort(dim, descending)


@aten("msort")
def _(self: Tensor) -> Tensor:
    return self.msort()


@aten("_unique2")
def _(self: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False) -> Any:
    result = self.unique(sorted, True, True)
    return tuple(result)


@aten("unique_dim")
def _(
    self: Tensor, dim: int, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Any, ...]:
    return tuple(self.unique(sorted, True, True, dim))


@aten("unique_consecutive")
def _(self: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    if dim is not None and self.dim() > 1:
        raise UnsupportedOpError("unique_consecutive: along a dim is not there")
    return tuple(self.unique_consecutive(True, True))


@aten("aminmax")
def _(self: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    return tuple(self.aminmax(dim=dim, keepdim=keepdim))


@aten("trace")
def _(self: Tensor) -> Tensor:
    return self.trace()


@aten("dist")
def _(self: Tensor, other: Tensor, p: Any = 2) -> Tensor:
    return (self - other).norm(p)


@aten("cross", "linalg_cross")
def _(self: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    return cross(self, other, -1 if dim is None else dim)


@aten("histc")
def _(self: Tensor, bins: int = 100, min: Any = 0, max: Any = 0) -> Tensor:
    return self.histc(bins, min, max)


@aten("bincount")
def _(self: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    return self.bincount(weights, minlength)


@aten("isin")
def _(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    found = isin(*(x if isinstance(x, Tensor) else Tensor(x) for x in (elements, test_elements)))
    return found.logical_not() if invert else found


enter("cosine_similarity", functional.cosine_similarity)
enter("pairwise_distance", functional.pairwise_distance)
