"""Random numbers; their sequence is NumPy's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import creation as make
from ..dtype import DType, float32, int64
from ..tensor import Tensor
from .arguments import dtype_of, sizes
from .table import aten

Code = DType | int | None


@aten("rand")
def _(size: Sequence[int], *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.full(sizes(size), 0.0, dtype=dtype_of(dtype) or float32).uniform_()


@aten("randn")
def _(size: Sequence[int], *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.full(sizes(size), 0.0, dtype=dtype_of(dtype) or float32).normal_()


@aten("rand_like")
def _(self: Tensor, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.zeros_like(self, dtype=dtype_of(dtype)).uniform_()


@aten("randn_like")
def _(self: Tensor, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.zeros_like(self, dtype=dtype_of(dtype)).normal_()


@aten("bernoulli_")
def _(self: Tensor, p: float = 0.5, *, generator: Any = None) -> Tensor:
    return self.bernoulli_(p)


@aten("bernoulli")
def _(self: Tensor, p: float | None = None, *, generator: Any = None) -> Tensor:
    return self.bernoulli() if p is None else make.zeros_like(self).bernoulli_(p)


@aten("normal_")
def _(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    return self.normal_(mean, std)


@aten("uniform_")
def _(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Tensor:
    return self.uniform_(from_, to)


@aten("multinomial")
def _(self: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    return self.multinomial(num_samples, replacement)


@aten("randint")
def _(*args: Any, dtype: Code = None, **ignored: Any) -> Tensor:
    """(high, size) or (low, high, size)."""
    low, high, size = args if len(args) == 3 else (0, *args)
    made = make.full(sizes(size), 0, dtype=dtype_of(dtype) or int64)
    return made.random_(low, high)


@aten("randperm")
def _(n: int, *, dtype: Code = None, **ignored: Any) -> Tensor:
    return make.full([n], 0.0).uniform_().argsort().to(dtype_of(dtype) or int64)
