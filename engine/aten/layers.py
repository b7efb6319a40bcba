"""Operators of layers: products, dropout, embeddings, losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..functions import addmm, cdist, einsum, linear
from ..nn import functional
from ..tensor import Tensor
from .table import aten, enter, in_place

Maybe = Tensor | None
Ints = int | Sequence[int]

enter("linear", linear)
for _name in ("bmm", "dot", "matmul", "mm", "mv", "outer", "baddbmm", "addmv"):
    enter(_name, getattr(Tensor, _name))


@aten("addmm")
def _(self: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    return addmm(self, mat1, mat2, beta=beta, alpha=alpha)


for _name in ("addmm", "baddbmm"):
    enter(f"{_name}_", in_place(_name))


@aten("einsum")
def _(equation: str, tensors: Sequence[Tensor], *, path: Sequence[int] | None = None) -> Tensor:
    return einsum(equation, *tensors)


@aten("addbmm")
def _(self: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return self * beta + batch1.bmm(batch2).sum(0) * alpha


@aten("cdist")
def _(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    return cdist(x1, x2, p)


@aten("inner")
def _(self: Tensor, other: Tensor) -> Any:
    return self.matmul(other.transpose(-1, -2)) if min(self.dim(), other.dim()) > 1 else self.dot(other)


@aten("tensordot")
def _(self: Tensor, other: Tensor, dims_self: Sequence[int], dims_other: Sequence[int]) -> Tensor:
    left, right = ([d % t.dim() for d in dims] for t, dims in ((self, dims_self), (other, dims_other)))
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    first = [next(letters) for _ in range(self.dim())]
    second = [first[left[right.index(d)]] if d in right else next(letters) for d in range(other.dim())]
    kept = [x for d, x in enumerate(first) if d not in left] + [x for d, x in enumerate(second) if d not in right]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(kept)}", self, other)


@aten("_weight_norm")
def _(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """g · v / |v|, each slice along a dim by its own norm."""
    if dim == -1:
        return v * (g / v.norm())
    return v * (g / v.norm(2, [d for d in range(v.dim()) if d != dim % v.dim()], True))


enter("bilinear", functional.bilinear)


# Dropout, which leaves everything as it is outside training


def _dropped(function: Any, inplace: bool) -> Any:
    def dropout(input: Tensor, p: float, train: bool) -> Any:
        if not train or not p:
            return input
        return input._become(function(input._before(), p, True)) if inplace else function(input, p, True)

    return dropout


for _name, _function in (
    ("dropout", functional.dropout), ("alpha_dropout", functional.alpha_dropout),
    ("feature_dropout", functional.dropout2d),
):  # fmt: skip
    enter(_name, _dropped(_function, False))
    enter(f"{_name}_", _dropped(_function, True))


@aten("native_dropout")
def _(input: Tensor, p: float, train: bool | None) -> tuple[Any, ...]:
    return (functional.dropout(input, p, True) if train and p else input), None


# Embeddings


@aten("embedding")
def _(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    return functional.embedding(indices, weight)


@aten("embedding_bag")
def _(
    weight: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: Maybe = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """The bags; of what PyTorch gives beside them, programs use nothing."""
    starts = offsets[:-1] if include_last_offset else offsets
    bags = functional.embedding_bag(
        indices, weight, starts, mode=("sum", "mean", "max")[mode], per_sample_weights=per_sample_weights,
        padding_idx=padding_idx,
    )  # fmt: skip
    return bags, offsets, offsets, offsets


# Losses; 0, 1, 2 stand for no reduction, the mean and the sum


def _loss(function: Any) -> Any:
    def loss(self: Tensor, target: Tensor, reduction: int = 1, *rest: Any) -> Any:
        return function(self, target, *rest, reduction=("none", "mean", "sum")[reduction])

    return loss


for _name in ("l1_loss", "mse_loss"):
    enter(_name, _loss(getattr(functional, _name)))


@aten("smooth_l1_loss")
def _(self: Tensor, target: Tensor, reduction: int = 1, beta: float = 1.0) -> Any:
    return functional.smooth_l1_loss(self, target, reduction=("none", "mean", "sum")[reduction], beta=beta)


@aten("binary_cross_entropy_with_logits")
def _(self: Tensor, target: Tensor, weight: Maybe = None, pos_weight: Maybe = None, reduction: int = 1) -> Any:
    return functional.binary_cross_entropy_with_logits(
        self, target, weight, reduction=("none", "mean", "sum")[reduction], pos_weight=pos_weight
    )


@aten("cross_entropy_loss")
def _(
    self: Tensor, target: Tensor, weight: Maybe = None, reduction: int = 1, ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    return functional.cross_entropy(
        self, target, weight, ignore_index=ignore_index, reduction=("none", "mean", "sum")[reduction],
        label_smoothing=label_smoothing,
    )  # fmt: skip
