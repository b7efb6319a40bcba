"""PyTorch's functions: most are the method of the same name, called with the tensor first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from .dtype import DType, Number, float32, of, result_dtype
from .dtype import promote_types as _promote
from .ops import comparison, shape, sorting
from .ops import indexing as _indexing
from .ops import matmul as _matmul
from .tensor import Tensor, apply

__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "addcdiv", "addcmul", "addmm", "addmv", "all", "allclose", "amax",
    "amin", "aminmax", "any", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax",
    "argmin", "argsort", "argwhere", "asin", "asinh", "atan", "atan2", "atanh", "baddbmm", "bincount",
    "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bmm",
    "broadcast_shapes", "broadcast_tensors", "broadcast_to", "bucketize", "can_cast", "cat", "cdist", "ceil",
    "chunk", "clamp", "clamp_max", "clamp_min", "clip", "clone", "concat", "concatenate", "conj", "cos", "cosh",
    "count_nonzero", "cross", "cummax", "cummin", "cumprod", "cumsum", "detach", "diag", "diagonal", "diff",
    "dist", "div", "divide", "dot", "einsum", "embedding", "eq", "equal", "erf", "erfc", "erfinv", "exp", "exp2",
    "expm1", "fix", "flatten", "flip", "fliplr", "flipud", "floor", "floor_divide", "fmax", "fmin", "fmod",
    "frac", "gather", "ge", "ger", "get_default_dtype", "greater", "greater_equal", "gt", "histc", "hstack",
    "hypot", "index_add", "index_copy", "index_fill", "index_put", "index_select", "inner", "is_complex",
    "is_floating_point", "is_signed", "is_tensor", "isclose", "isfinite", "isin", "isinf", "isnan", "kthvalue",
    "le", "lerp", "less", "less_equal", "linear", "log", "log10", "log1p", "log2", "log_softmax", "logaddexp",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logsumexp", "lt", "masked_fill",
    "masked_scatter", "masked_select", "matmul", "max", "maximum", "mean", "median", "meshgrid", "min", "minimum",
    "mm", "moveaxis", "movedim", "msort", "mul", "multiply", "mv", "nan_to_num", "nanmean", "nansum", "narrow",
    "ne", "neg", "negative", "nonzero", "norm", "not_equal", "numel", "one_hot", "outer", "permute", "pow",
    "prod", "promote_types", "quantile", "ravel", "reciprocal", "relu", "relu_", "remainder", "repeat_interleave",
    "reshape", "result_type", "roll", "rot90", "round", "rsqrt", "rsub", "scatter", "scatter_add", "searchsorted",
    "select", "sigmoid", "sign", "sin", "sinh", "softmax", "sort", "split", "sqrt", "square", "squeeze", "stack",
    "std", "std_mean", "sub", "subtract", "sum", "swapaxes", "swapdims", "t", "take", "take_along_dim", "tan",
    "tanh", "tensor_split", "tile", "topk", "trace", "transpose", "tril", "triu", "true_divide", "trunc",
    "unbind", "unflatten", "unique", "unique_consecutive", "unsqueeze", "var", "var_mean", "vstack", "where",
    "xlogy",
]  # fmt: skip


absolute = abs = Tensor.abs
acos = arccos = Tensor.acos
acosh = arccosh = Tensor.acosh
add = Tensor.add
addcdiv = Tensor.addcdiv
addcmul = Tensor.addcmul
addmm = Tensor.addmm
addmv = Tensor.addmv
all = Tensor.all
allclose = Tensor.allclose
amax = Tensor.amax
amin = Tensor.amin
aminmax = Tensor.aminmax
any = Tensor.any
argmax = Tensor.argmax
argmin = Tensor.argmin
argsort = Tensor.argsort
argwhere = Tensor.argwhere
asin = arcsin = Tensor.asin
asinh = arcsinh = Tensor.asinh
atan = arctan = Tensor.atan
atan2 = arctan2 = Tensor.atan2
atanh = arctanh = Tensor.atanh
baddbmm = Tensor.baddbmm
bincount = Tensor.bincount
bitwise_and = Tensor.bitwise_and
bitwise_left_shift = Tensor.bitwise_left_shift
bitwise_not = Tensor.bitwise_not
bitwise_or = Tensor.bitwise_or
bitwise_right_shift = Tensor.bitwise_right_shift
bitwise_xor = Tensor.bitwise_xor
bmm = Tensor.bmm
ceil = Tensor.ceil
chunk = Tensor.chunk
clamp = clip = Tensor.clamp
clamp_max = Tensor.clamp_max
clamp_min = Tensor.clamp_min
clone = Tensor.clone
conj = Tensor.conj
cos = Tensor.cos
cosh = Tensor.cosh
count_nonzero = Tensor.count_nonzero
cummax = Tensor.cummax
cummin = Tensor.cummin
cumprod = Tensor.cumprod
cumsum = Tensor.cumsum
detach = Tensor.detach
diag = Tensor.diag
diagonal = Tensor.diagonal
diff = Tensor.diff
div = divide = true_divide = Tensor.div
dot = inner = Tensor.dot
eq = Tensor.eq
equal = Tensor.equal
erf = Tensor.erf
erfc = Tensor.erfc
erfinv = Tensor.erfinv
exp = Tensor.exp
exp2 = Tensor.exp2
expm1 = Tensor.expm1
flatten = Tensor.flatten
flip = Tensor.flip
fliplr = Tensor.fliplr
flipud = Tensor.flipud
floor = Tensor.floor
floor_divide = Tensor.floor_divide
fmax = Tensor.fmax
fmin = Tensor.fmin
fmod = Tensor.fmod
frac = Tensor.frac
gather = Tensor.gather
ge = greater_equal = Tensor.ge
gt = greater = Tensor.gt
histc = Tensor.histc
hypot = Tensor.hypot
index_add = Tensor.index_add
index_copy = Tensor.index_copy
index_fill = Tensor.index_fill
index_put = Tensor.index_put
index_select = Tensor.index_select
is_complex = Tensor.is_complex
is_floating_point = Tensor.is_floating_point
is_signed = Tensor.is_signed
isclose = Tensor.isclose
isfinite = Tensor.isfinite
isinf = Tensor.isinf
isnan = Tensor.isnan
kthvalue = Tensor.kthvalue
le = less_equal = Tensor.le
lerp = Tensor.lerp
log = Tensor.log
log10 = Tensor.log10
log1p = Tensor.log1p
log2 = Tensor.log2
log_softmax = Tensor.log_softmax
logaddexp = Tensor.logaddexp
logical_and = Tensor.logical_and
logical_not = Tensor.logical_not
logical_or = Tensor.logical_or
logical_xor = Tensor.logical_xor
logit = Tensor.logit
logsumexp = Tensor.logsumexp
lt = less = Tensor.lt
masked_fill = Tensor.masked_fill
masked_scatter = Tensor.masked_scatter
masked_select = Tensor.masked_select
matmul = Tensor.matmul
max = Tensor.max
maximum = Tensor.maximum
mean = Tensor.mean
median = Tensor.median
min = Tensor.min
minimum = Tensor.minimum
mm = Tensor.mm
movedim = moveaxis = Tensor.movedim
msort = Tensor.msort
mul = multiply = Tensor.mul
mv = Tensor.mv
nan_to_num = Tensor.nan_to_num
nanmean = Tensor.nanmean
nansum = Tensor.nansum
narrow = Tensor.narrow
ne = not_equal = Tensor.ne
neg = negative = Tensor.neg
nonzero = Tensor.nonzero
norm = Tensor.norm
numel = Tensor.numel
outer = ger = Tensor.outer
permute = Tensor.permute
pow = Tensor.pow
prod = Tensor.prod
quantile = Tensor.quantile
ravel = Tensor.ravel
reciprocal = Tensor.reciprocal
relu = Tensor.relu
relu_ = Tensor.relu_
remainder = Tensor.remainder
repeat_interleave = Tensor.repeat_interleave
reshape = Tensor.reshape
roll = Tensor.roll
rot90 = Tensor.rot90
round = Tensor.round
rsqrt = Tensor.rsqrt
rsub = Tensor.rsub
scatter = Tensor.scatter
scatter_add = Tensor.scatter_add
select = Tensor.select
sigmoid = Tensor.sigmoid
sign = Tensor.sign
sin = Tensor.sin
sinh = Tensor.sinh
softmax = Tensor.softmax
sort = Tensor.sort
split = Tensor.split
sqrt = Tensor.sqrt
square = Tensor.square
squeeze = Tensor.squeeze
std = Tensor.std
sub = subtract = Tensor.sub
sum = Tensor.sum
t = Tensor.t
take = Tensor.take
take_along_dim = Tensor.take_along_dim
tan = Tensor.tan
tanh = Tensor.tanh
tensor_split = Tensor.tensor_split
tile = Tensor.tile
topk = Tensor.topk
trace = Tensor.trace
transpose = swapaxes = swapdims = Tensor.transpose
tril = Tensor.tril
triu = Tensor.triu
trunc = fix = Tensor.trunc
unbind = Tensor.unbind
unflatten = Tensor.unflatten
unique = Tensor.unique
unique_consecutive = Tensor.unique_consecutive
unsqueeze = Tensor.unsqueeze
var = Tensor.var
xlogy = Tensor.xlogy


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one behind the other along a dim. Source: torch.cat."""
    return cast(Tensor, apply(shape.cat, *tensors, dim=dim))


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors, all of one shape, side by side along a new dim. Source: torch.stack."""
    return cast(Tensor, apply(shape.stack, *tensors, dim=dim))


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors side by side along the second dim; vectors along their only one. Source: torch.hstack."""
    return cat(tensors, 0 if tensors[0].array.ndim < 2 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors below one another; vectors are rows. Source: torch.vstack."""
    return cat([t.unsqueeze(0) if t.array.ndim < 2 else t for t in tensors])


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """`input` where the condition holds, else `other`; alone, the positions where it holds. Source: torch.where."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    return apply(comparison.where, condition, input, other)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias. Source: torch.nn.functional.linear."""
    operands = (input, weight) if bias is None else (input, weight, bias)
    return cast(Tensor, apply(_matmul.linear, *operands))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors stretched to the shape they meet in. Source: torch.broadcast_tensors."""
    sizes = broadcast_shapes(*(t.array.shape for t in tensors))
    return tuple(t.expand(sizes) for t in tensors)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """Dims of size 1 stretched without a copy. Source: torch.broadcast_to."""
    return input.expand(size)


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that shapes meet in. Source: torch.broadcast_shapes."""
    return np.broadcast_shapes(*(tuple(s) for s in shapes))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Vectors as grids of coordinates. Source: torch.meshgrid."""
    vectors = tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    sizes = [v.array.size for v in vectors]
    grids = [v.reshape([-1 if d == n else 1 for d in range(len(sizes))]).expand(sizes) for n, v in enumerate(vectors)]
    return tuple(g.transpose(0, 1) for g in grids) if indexing == "xy" else tuple(grids)


def is_tensor(obj: object) -> bool:
    """Whether it is a tensor. Source: torch.is_tensor."""
    return isinstance(obj, Tensor)


def result_type(tensor1: Tensor | Number, tensor2: Tensor | Number) -> DType:
    """The dtype that an operation on the two gives. Source: torch.result_type."""
    arrays = [t.array if isinstance(t, Tensor) else t for t in (tensor1, tensor2)]
    return of(np.empty(0, result_dtype(*arrays)))


def promote_types(type1: DType, type2: DType) -> DType:
    """The dtype that two dtypes meet in. Source: torch.promote_types."""
    return of(np.empty(0, _promote(type1.numpy, type2.numpy)))


def can_cast(from_: DType, to: DType) -> bool:
    """Whether an in-place operation may keep one dtype's results in the other. Source: torch.can_cast."""
    return from_.category <= to.category


def get_default_dtype() -> DType:
    """What Python floats become: float32. Source: torch.get_default_dtype."""
    return float32


def einsum(equation: str, *operands: Any) -> Tensor:
    """Products summed over the labels that the result lacks. Source: torch.einsum."""
    several = operands[0] if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    return cast(Tensor, apply(_matmul.einsum, *several, equation=equation))


def searchsorted(
    sorted_sequence: Tensor, input: Tensor | Number, *, right: bool = False, side: str | None = None
) -> Tensor:
    """Where values would go in ordered rows. Source: torch.searchsorted."""
    values = input if isinstance(input, Tensor) else np.asarray(input)
    return cast(Tensor, apply(sorting.searchsorted, sorted_sequence, values, right=right or side == "right"))


def bucketize(input: Tensor | Number, boundaries: Tensor, *, right: bool = False) -> Tensor:
    """Which of the intervals between boundaries holds each value. Source: torch.bucketize."""
    return searchsorted(boundaries, input, right=right)


def isin(elements: Tensor, test_elements: Tensor) -> Tensor:
    """Whether each element is among others. Source: torch.isin."""
    return cast(Tensor, apply(sorting.isin, elements, test_elements))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Rows of 0 with a 1 at the class of each element. Source: torch.nn.functional.one_hot."""
    return cast(Tensor, apply(sorting.one_hot, tensor, num_classes=num_classes))


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of a table. Source: torch.nn.functional.embedding."""
    return cast(Tensor, apply(_indexing.embedding, weight, input, padding_idx=padding_idx))


def var_mean(input: Tensor, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The variance and the mean. Source: torch.var_mean."""
    return input.var(dim, correction=correction, keepdim=keepdim), input.mean(dim, keepdim)


def std_mean(input: Tensor, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean. Source: torch.std_mean."""
    return input.std(dim, correction=correction, keepdim=keepdim), input.mean(dim, keepdim)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference. Source: torch.dist."""
    return (input - other).norm(p)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of all pairs of rows. Source: torch.cdist."""
    return (x1.unsqueeze(-2) - x2.unsqueeze(-3)).norm(p, -1)


def cross(input: Tensor, other: Tensor, dim: int = -1) -> Tensor:
    """The cross products of vectors of 3 along a dim. Source: torch.linalg.cross."""
    return input.roll(-1, dim) * other.roll(1, dim) - input.roll(1, dim) * other.roll(-1, dim)
