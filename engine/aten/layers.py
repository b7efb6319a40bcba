"""Operators of layers: products, convolutions, pools, normalisations, dropout, embeddings, resizing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..functions import addmm, cdist, einsum, linear
from ..nn import functional
from ..tensor import Tensor
from .arguments import sizes
from .table import aten, enter, in_place, refuse

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


# Convolutions


def _pads(padding: Any) -> Any:
    return padding if isinstance(padding, str) else sizes(padding)


def _convolved(dims: int) -> Any:
    function = getattr(functional, f"conv{dims}d")

    def conv(
        input: Tensor, weight: Tensor, bias: Maybe = None, stride: Ints = 1, padding: Ints | str = 0,
        dilation: Ints = 1, groups: int = 1,
    ) -> Any:  # fmt: skip
        return function(input, weight, bias, sizes(stride), _pads(padding), sizes(dilation), groups)

    return conv


def _deconvolved(dims: int) -> Any:
    function = getattr(functional, f"conv_transpose{dims}d")

    def conv_transpose(
        input: Tensor, weight: Tensor, bias: Maybe = None, stride: Ints = 1, padding: Ints = 0,
        output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1,
    ) -> Any:  # fmt: skip
        return function(
            input, weight, bias, sizes(stride), sizes(padding), sizes(output_padding), groups, sizes(dilation)
        )

    return conv_transpose


_CONV = {dims: _convolved(dims) for dims in (1, 2, 3)}
_CONV_TRANSPOSE = {dims: _deconvolved(dims) for dims in (1, 2, 3)}
for _dims in (1, 2, 3):
    enter(f"conv{_dims}d", _CONV[_dims])
enter("conv_transpose1d", _CONV_TRANSPOSE[1])
enter("conv_transpose2d", _CONV_TRANSPOSE[2])
enter("conv_transpose3d", _CONV_TRANSPOSE[3])


@aten("_convolution", "convolution")
def _(
    input: Tensor, weight: Tensor, bias: Maybe, stride: Ints, padding: Ints, dilation: Ints, transposed: bool,
    output_padding: Ints, groups: int, *backends: bool,
) -> Any:  # fmt: skip
    dims = weight.array.ndim - 2
    if transposed:
        return _CONV_TRANSPOSE[dims](input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _CONV[dims](input, weight, bias, stride, padding, dilation, groups)


@aten("_convolution_mode")
def _(input: Tensor, weight: Tensor, bias: Maybe, stride: Ints, padding: str, dilation: Ints, groups: int) -> Any:
    return _CONV[weight.array.ndim - 2](input, weight, bias, stride, padding, dilation, groups)


# Pools


def _max_pooled(dims: int, with_indices: bool) -> Any:
    function = getattr(functional, f"max_pool{dims}d")

    def max_pool(
        self: Tensor, kernel_size: Ints, stride: Ints = (), padding: Ints = 0, dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> Any:  # fmt: skip
        return function(
            self, sizes(kernel_size), sizes(stride), sizes(padding), sizes(dilation), ceil_mode, with_indices
        )

    return max_pool


def _avg_pooled(dims: int) -> Any:
    function = getattr(functional, f"avg_pool{dims}d")

    def avg_pool(
        self: Tensor, kernel_size: Ints, stride: Ints = (), padding: Ints = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Any:  # fmt: skip
        options = {} if dims == 1 else {"divisor_override": divisor_override}
        return function(
            self, sizes(kernel_size), sizes(stride), sizes(padding), ceil_mode, count_include_pad, **options
        )

    return avg_pool


def _adaptive(function: Any, with_indices: bool | None = None) -> Any:
    def adaptive(self: Tensor, output_size: Any) -> Any:
        wanted = output_size if isinstance(output_size, int) else tuple(output_size)
        return function(self, wanted) if with_indices is None else function(self, wanted, with_indices)

    return adaptive


for _dims in (1, 2, 3):
    enter(f"max_pool{_dims}d", _max_pooled(_dims, False))
    enter(f"max_pool{_dims}d_with_indices", _max_pooled(_dims, True))
    enter(f"avg_pool{_dims}d", _avg_pooled(_dims))
    enter(f"adaptive_max_pool{_dims}d", _adaptive(getattr(functional, f"adaptive_max_pool{_dims}d"), True))
    enter(f"adaptive_avg_pool{_dims}d", _adaptive(getattr(functional, f"adaptive_avg_pool{_dims}d")))
enter("_adaptive_avg_pool2d", _adaptive(functional.adaptive_avg_pool2d))
enter("_adaptive_avg_pool3d", _adaptive(functional.adaptive_avg_pool3d))


# Normalisations


@aten("batch_norm")
def batch_norm(
    input: Tensor, weight: Maybe, bias: Maybe, running_mean: Maybe, running_var: Maybe, training: bool,
    momentum: float, eps: float, cudnn_enabled: bool = False,
) -> Tensor:  # fmt: skip
    """With statistics of the batch in training, and where none are kept."""
    own = training or running_mean is None
    return functional.batch_norm(input, running_mean, running_var, weight, bias, own, momentum, eps)


@aten("_native_batch_norm_legit_no_training")
def _(
    input: Tensor, weight: Maybe, bias: Maybe, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
) -> tuple[Any, ...]:
    empty = running_mean[:0]
    return batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps), empty, empty


@aten("instance_norm")
def _(
    input: Tensor, weight: Maybe, bias: Maybe, running_mean: Maybe, running_var: Maybe, use_input_stats: bool,
    momentum: float, eps: float, cudnn_enabled: bool = False,
) -> Tensor:  # fmt: skip
    return functional.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@aten("layer_norm")
def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Maybe = None, bias: Maybe = None, eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Tensor:  # fmt: skip
    """Over the last dims."""
    return functional.layer_norm(input, sizes(normalized_shape), weight, bias, eps)


@aten("native_layer_norm")
def _(input: Tensor, normalized_shape: Sequence[int], weight: Maybe, bias: Maybe, eps: float) -> tuple[Any, ...]:
    return layer_norm(input, normalized_shape, weight, bias, eps), None, None


@aten("native_group_norm")
def _(input: Tensor, weight: Maybe, bias: Maybe, N: int, C: int, HxW: int, group: int, eps: float) -> tuple[Any, ...]:
    return functional.group_norm(input, group, weight, bias, eps), None, None


@aten("rms_norm")
def _(input: Tensor, normalized_shape: Sequence[int], weight: Maybe = None, eps: float | None = None) -> Tensor:
    return functional.rms_norm(input, sizes(normalized_shape), weight, eps)


@aten("group_norm")
def _(
    input: Tensor, num_groups: int, weight: Maybe = None, bias: Maybe = None, eps: float = 1e-05,
    cudnn_enabled: bool = True,
) -> Tensor:  # fmt: skip
    return functional.group_norm(input, num_groups, weight, bias, eps)


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


# Resizing


def _resized(mode: str, aligned: bool) -> Any:
    """(size, align_corners, scales…) and the older (size, align_corners, [scales]); nearest has no align_corners."""

    def resized(input: Tensor, output_size: Any, *rest: Any, scale_factors: Any = None) -> Tensor:
        given = list(rest)
        corners = bool(given.pop(0)) if aligned else None
        factors = given[0] if given and isinstance(given[0], (list, tuple)) else scale_factors or given
        scales = [f for f in factors if f is not None]
        if output_size is None:
            return functional.interpolate(input, None, tuple(scales), mode, corners)
        wanted = sizes(output_size)
        if len(scales) == len(wanted):
            return functional.interpolate(input, None, tuple(scales), mode, corners)
        return functional.interpolate(input, wanted, None, mode, corners)

    return resized


for _name, _mode, _has_corners in (
    ("upsample_nearest1d", "nearest", False), ("upsample_nearest2d", "nearest", False),
    ("upsample_nearest3d", "nearest", False), ("_upsample_nearest_exact1d", "nearest-exact", False),
    ("_upsample_nearest_exact2d", "nearest-exact", False), ("_upsample_nearest_exact3d", "nearest-exact", False),
    ("upsample_linear1d", "linear", True), ("upsample_bilinear2d", "bilinear", True),
    ("upsample_trilinear3d", "trilinear", True), ("upsample_bicubic2d", "bicubic", True),
):  # fmt: skip
    enter(_name, _resized(_mode, _has_corners))
for _name in ("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_lanczos2d_aa"):
    refuse(_name, "antialias=True is not there; resize the image before it is a tensor")

enter("pixel_shuffle", functional.pixel_shuffle)
enter("pixel_unshuffle", functional.pixel_unshuffle)
enter("channel_shuffle", functional.channel_shuffle)


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


@aten("cross_entropy_loss")
def _(
    self: Tensor, target: Tensor, weight: Maybe = None, reduction: int = 1, ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    return functional.cross_entropy(
        self, target, weight, ignore_index=ignore_index, reduction=("none", "mean", "sum")[reduction],
        label_smoothing=label_smoothing,
    )  # fmt: skip
