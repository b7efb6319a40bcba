"""Losses, as functions and as modules."""

from __future__ import annotations

from typing import Any, cast

from ..errors import ShapeError
from ..ops import loss as ops
from ..tensor import Tensor, apply
from .module import Module

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Minus the logarithm of the softmax at the right class.

    Shapes: input (N, C, d1…) or (C), target class numbers (N, d1…) or (), or chances of input's shape → () or target's.
    Source: torch.nn.functional.cross_entropy.
    """
    if input.array.ndim == 1:
        options: dict[str, Any] = {"ignore_index": ignore_index, "label_smoothing": label_smoothing}
        loss = cross_entropy(input[None], target[None], weight, reduction=reduction, **options)
        return loss[0] if reduction == "none" else loss
    logs, classes = input.log_softmax(1), input.array.shape[1]
    if target.array.shape == input.array.shape and target.dtype.is_floating_point:
        target = target * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else target
        return _reduced(_weighed(logs * -target, weight).sum(1), reduction)
    kept = _kept_weights(input, target, weight, ignore_index) if reduction == "mean" else None
    loss = _nll(logs, target, weight, ignore_index)
    if label_smoothing:
        spread = -_weighed(logs, weight).sum(1) * Tensor((target.array != ignore_index).astype(input.array.dtype))
        loss = loss * (1 - label_smoothing) + spread * (label_smoothing / classes)
    return _reduced(loss, reduction) if kept is None else loss.sum() / kept


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Minus the input at the right class, where the input is logarithms; shapes as cross_entropy.

    Source: torch.nn.functional.nll_loss.
    """
    if input.array.ndim == 1:
        loss = nll_loss(input[None], target[None], weight, ignore_index=ignore_index, reduction=reduction)
        return loss[0] if reduction == "none" else loss
    loss = _nll(input, target, weight, ignore_index)
    if reduction == "mean":
        return loss.sum() / _kept_weights(input, target, weight, ignore_index)
    return _reduced(loss, reduction)


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """The square of the difference. Source: torch.nn.functional.mse_loss."""
    return _reduced(_elementwise(ops.mse_loss, input, target), reduction)


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """The size of the difference. Source: torch.nn.functional.l1_loss."""
    return _reduced(_elementwise(ops.l1_loss, input, target), reduction)


def huber_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Half the square of a difference up to `delta`, straight beyond. Source: torch.nn.functional.huber_loss."""
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be above 0; met {delta}")
    return _reduced(_elementwise(ops.huber_loss, input, target, delta=delta), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """huber_loss divided by its delta, here `beta`. Source: torch.nn.functional.smooth_l1_loss."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative; met {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return huber_loss(input, target, reduction=reduction, delta=beta) / beta


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """Minus the logarithm of a chance that should be 0 or 1. Source: torch.nn.functional.binary_cross_entropy."""
    if input.array.size and not (input.array.min() >= 0 and input.array.max() <= 1):
        raise ValueError(
            f"binary_cross_entropy: input from {input.array.min()} to {input.array.max()}; expected 0 to 1: "
            "apply sigmoid, or use binary_cross_entropy_with_logits"
        )
    loss = _elementwise(ops.binary_cross_entropy, input, target)
    return _reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy of sigmoid(input). Source: torch.nn.functional.binary_cross_entropy_with_logits."""
    positive = Tensor(input.array.dtype.type(1)) if pos_weight is None else pos_weight
    loss = _elementwise(ops.binary_cross_entropy_with_logits, input, target, positive)
    return _reduced(loss if weight is None else loss * weight, reduction)


def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """How far the chances whose logarithms are `input` are from the target's. Source: torch.nn.functional.kl_div."""
    loss = _elementwise(ops.kl_div, input, target, log_target=log_target)
    return loss.sum() / len(input) if reduction == "batchmean" else _reduced(loss, reduction)


def _elementwise(primitive: Any, input: Tensor, target: Tensor, *more: Tensor, **attributes: Any) -> Tensor:
    if input.array.shape != target.array.shape:
        raise ShapeError(
            f"{primitive.name}: input {input.array.shape} and target {target.array.shape}: expected equal shapes"
        )
    return cast(Tensor, apply(primitive, input, target, *more, **attributes))


def _nll(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    return cast(Tensor, apply(ops.nll_loss, input, target, weight, ignore_index=ignore_index))


def _weighed(input: Tensor, weight: Tensor | None) -> Tensor:
    """The classes (dim 1) by their weights."""
    if weight is None:
        return input
    return input * weight.reshape(-1, *[1] * (input.array.ndim - 2))


def _kept_weights(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> float:
    """What the mean is taken over: the weights of the right classes of all examples that count."""
    kept = target.array[target.array != ignore_index]
    total = kept.size if weight is None else weight.array[kept].sum()
    return float(total) if total else float("nan")


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    raise ValueError(f"reduction {reduction!r}; expected 'none', 'mean' or 'sum'")


class _Loss(Module):
    """A loss keeps how it is reduced."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction


class _WeightedLoss(_Loss):
    """A loss that keeps weights too."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_WeightedLoss):
    """cross_entropy as a module. Source: torch.nn.CrossEntropyLoss."""

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of these scores."""
        options: dict[str, Any] = {"ignore_index": self.ignore_index, "label_smoothing": self.label_smoothing}
        return cross_entropy(input, target, self.weight, reduction=self.reduction, **options)


class NLLLoss(_WeightedLoss):
    """nll_loss as a module. Source: torch.nn.NLLLoss."""

    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of these logarithms."""
        return nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """mse_loss as a module. Source: torch.nn.MSELoss."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of these values."""
        return mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """l1_loss as a module. Source: torch.nn.L1Loss."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of these values."""
        return l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """smooth_l1_loss as a module. Source: torch.nn.SmoothL1Loss."""

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of these values."""
        return smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """huber_loss as a module. Source: torch.nn.HuberLoss."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of these values."""
        return huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCELoss(_WeightedLoss):
    """binary_cross_entropy as a module. Source: torch.nn.BCELoss."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of these chances."""
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """binary_cross_entropy_with_logits as a module. Source: torch.nn.BCEWithLogitsLoss."""

    pos_weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, *, reduction: str = "mean", pos_weight: Tensor | None = None
    ) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of these scores."""
        options: dict[str, Any] = {"reduction": self.reduction, "pos_weight": self.pos_weight}
        return binary_cross_entropy_with_logits(input, target, self.weight, **options)


class KLDivLoss(_Loss):
    """kl_div as a module. Source: torch.nn.KLDivLoss."""

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of these logarithms."""
        return kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
