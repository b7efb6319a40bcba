"""The table of operators against torch: every row takes what torch's schemas say, and gives what torch gives."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

from numserve.engine import Tensor, aten, no_grad  # noqa: E402  # torch decides whether this is run
from numserve.engine.aten import OPERATORS  # noqa: E402
from numserve.engine.aten.activation import ACTIVATIONS  # noqa: E402
from numserve.engine.aten.elementwise import BINARY, COMPARISONS, UNARY, UNARY_OF_NUMBERS  # noqa: E402

# Overloads that no program of the readers names.
LEFT_OUT = {
    ("aten::bmm", "dtype"), ("aten::mm", "dtype"), ("aten::baddbmm", "dtype"), ("aten::addmm", "dtype"),
    ("aten::einsum", "sublist"), ("prim::tolist", ""), ("aten::manual_seed", "generator"), ("aten::sym_size", ""),
}  # fmt: skip
NO_SCHEMA = {"prim::shape", "torchvision::nms", "torchvision::box_iou_rotated"}  # torch alone has not the last two


def schemas(name: str) -> list[Any]:
    return [
        s
        for s in torch._C._jit_get_schemas_for_operator(name)
        if not any(a.is_out or "Dimname" in str(a.type) for a in s.arguments)
    ]


@pytest.mark.parametrize("name", sorted(OPERATORS.keys() - NO_SCHEMA))
def test_a_row_takes_what_the_schemas_say(name: str) -> None:
    signature = inspect.signature(OPERATORS[name])
    found = schemas(name)
    assert found, "torch has no such operator"
    for schema in found:
        if (name, schema.overload_name) in LEFT_OUT:
            continue
        positional = [a for a in schema.arguments if not a.kwarg_only]
        named = [a for a in schema.arguments if a.kwarg_only]
        signature.bind(*[1] * len(positional), **{a.name: 1 for a in named})
        needed = [a for a in positional if not a.has_default_value()]
        signature.bind(*[1] * len(needed), **{a.name: 1 for a in named if not a.has_default_value()})


_DICE = np.random.default_rng(3)


def f(*size: int, low: float = -2.0, high: float = 2.0) -> Any:
    return _DICE.uniform(low, high, size).astype(np.float32)


def i(*size: int, low: int = -4, high: int = 5) -> Any:
    return _DICE.integers(low, high, size)


def b(*size: int) -> Any:
    return _DICE.random(size) < 0.5


_UNIT = {"acos", "arccos", "arcsin", "asin", "atanh", "arctanh", "erfinv", "logit"}
_ABOVE_ONE = {"acosh", "arccosh"}
_INTEGERS = {
    "bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift",
}  # fmt: skip
_POSITIVE = {"log", "log2", "log10", "log1p", "sqrt", "rsqrt", "xlogy"}
_GIVEN = {"glu", "prelu", "threshold", "logit"}


def _operand(name: str) -> Any:
    if name in _INTEGERS:
        return i(3, 4, low=0)
    if name in _UNIT:
        return f(3, 4, low=0.05, high=0.95)
    if name in _ABOVE_ONE:
        return f(3, 4, low=1.1)
    return f(3, 4, low=0.1) if name in _POSITIVE else f(3, 4)


CASES: dict[str, list[tuple[Any, ...]]] = {
    **{n: [(_operand(n),)] for n in (*UNARY, *UNARY_OF_NUMBERS, *ACTIVATIONS) if n not in _GIVEN},
    **{n: [(_operand(n), _operand(n))] for n in BINARY},
    **{n: [(f(3, 4), f(3, 4)), (f(3, 4), 0.5), (i(3), i(3)), (i(3), 1)] for n in COMPARISONS},
    "glu": [(f(3, 4), 1)],
    "prelu": [(f(2, 3, 4), f(3))],
    "threshold": [(f(5), 0.5, 3.0)],
    "logit": [(f(5, low=0.1, high=0.9),), (f(5, low=-1, high=2), 0.1)],
    "add": [(f(3), f(2, 3)), (f(3), 2), (i(3), 1.5), (i(3), f(3)), (f(3), f(3), {"alpha": 2}), (b(3), b(3))],
    "sub": [(f(3), f(2, 3)), (f(3), 2, {"alpha": 3})],
    "rsub": [(f(3), f(3)), (f(3), 2, 3)],
    "mul": [(f(3), f(2, 3)), (i(3), 2), (i(3), 2.5)],
    "div": [(f(3), f(3)), (i(3), 2), (i(3), 2, {"rounding_mode": "trunc"}), (f(3), 0.3, {"rounding_mode": "floor"})],
    "floor_divide": [(i(5), 2), (f(5), 0.3)],
    "remainder": [(i(5), 3), (f(5), -0.3), (i(5), i(5, low=1))],
    "fmod": [(i(5), 3), (f(5), -0.3)],
    "pow": [(f(3, low=0.1), 2.5), (f(3), 2), (2, f(3)), (i(3, low=0), i(3, low=0))],
    "clamp": [(f(5), -0.5, 0.5), (f(5), None, 0.1), (i(5), 0.5, None), (f(5), f(5), f(5))],
    "clamp_min": [(f(5), 0.1)],
    "clamp_max": [(f(5), 0.1)],
    "lerp": [(f(3), f(3), 0.3), (f(3), f(3), f(3))],
    "addcmul": [(f(3), f(3), f(3), {"value": 0.5})],
    "addcdiv": [(f(3), f(3), f(3, low=1), {"value": 0.5})],
    "where": [(b(3), f(3), f(3)), (b(3), f(3), 1.0), (b(3, 3),)],
    "masked_fill": [(f(3, 4), b(3, 4), 9.0), (i(3), b(3), 2)],
    "elu": [(f(5), 0.5, 2.0, 0.3)],
    "softmax": [(f(3, 4), 1), (f(3, 4), 0, torch.float64)],
    "log_softmax": [(f(3, 4), -1)],
    "sum": [(f(3, 4),), (f(3, 4), [0]), (f(3, 4), [0, 1], True), (b(4),), (i(4), {"dtype": torch.float32})],
    "mean": [(f(3, 4),), (f(3, 4), [1], True), (i(4), {"dtype": torch.float32})],
    "prod": [(f(3, 4),), (f(3, 4), 1)],
    "nansum": [(f(3),)],
    "amax": [(f(3, 4), [1]), (f(3, 4),)],
    "amin": [(f(3, 4), [0, 1], True)],
    "max": [(f(3, 4),), (f(3, 4), 1), (f(3), f(3))],
    "min": [(f(3, 4),), (f(3, 4), 0, True)],
    "argmax": [(f(3, 4),), (f(3, 4), 1, True)],
    "argmin": [(f(3, 4), 0)],
    "any": [(b(3, 4),), (b(3, 4), 1)],
    "all": [(b(3, 4),), (b(3, 4), 0, True)],
    "count_nonzero": [(i(3, 4),), (i(3, 4), 1)],
    "logsumexp": [(f(3, 4), [1])],
    "var": [(f(3, 4),), (f(3, 4), False), (f(3, 4), [1], True, True), (f(3, 4), [0], {"correction": 0})],
    "std": [(f(3, 4),), (f(3, 4), [1], False), (f(3, 4), [0], {"correction": 1, "keepdim": True})],
    "var_mean": [(f(3, 4), [1], {"correction": 0})],
    "std_mean": [(f(3, 4), [1], True)],
    "norm": [(f(3, 4), 2), (f(3, 4), 1, [1], True)],
    "linalg_vector_norm": [(f(3, 4), 2, [1])],
    "cumsum": [(f(3, 4), 1), (i(3), 0)],
    "cumprod": [(f(3, 4), 1)],
    "cummax": [(f(3, 4), 1)],
    "cummin": [(f(3, 4), 0)],
    "topk": [(f(3, 5), 2), (f(3, 5), 2, 0, False)],
    "kthvalue": [(f(3, 5), 2, 1)],
    "median": [(f(5),), (f(3, 5), 1)],
    "sort": [(f(3, 4),), (f(3, 4), 0, True), (f(3, 4), {"stable": True, "dim": 0})],
    "argsort": [(f(3, 4), 1, True)],
    "bincount": [(i(9, low=0),)],
    "isin": [(i(5), i(3))],
    "aminmax": [(f(3, 4), {"dim": 1})],
    "trace": [(f(3, 3),)],
    "dist": [(f(3), f(3), 2)],
    "cross": [(f(2, 3), f(2, 3), 1)],
    "histc": [(f(9), 4, -1, 1)],
    "unique_dim": [(np.array([[1, 1], [2, 0], [1, 1]]), 0, True, True, True)],
    "unique_consecutive": [(np.array([1, 1, 2, 2, 1]), True, True)],
    "_unique2": [(i(9), True, True, True)],
    "view": [(f(3, 4), [2, -1])],
    "reshape": [(f(3, 4), [4, 3])],
    "flatten": [(f(2, 3, 4),), (f(2, 3, 4), 1)],
    "as_strided": [
        (f(2, 3, 4), [2, 3, 4], [12, 4, 1]), (f(2, 3, 1), [2, 3, 1], [3, 1, 7], 0), (f(4, 6), [5, 4], [2, 1], 3),
        (f(4, 6), [6, 4], [1, 6]), (f(3, 4), [2, 2, 2], [4, 0, 2]),
    ],
    "unflatten": [(f(2, 12), 1, [3, -1])],
    "squeeze": [(f(1, 3, 1),), (f(1, 3, 1), 0), (f(1, 3, 1), [0, 2])],
    "unsqueeze": [(f(3), -1)],
    "permute": [(f(2, 3, 4), [2, 0, 1])],
    "transpose": [(f(2, 3, 4), 0, -1)],
    "t": [(f(2, 3),)],
    "numpy_T": [(f(2, 3),)],
    "movedim": [(f(2, 3, 4), [0], [2])],
    "expand": [(f(3, 1), [2, -1, 4])],
    "expand_as": [(f(3, 1), f(3, 4))],
    "repeat": [(f(2, 3), [2, 1, 2])],
    "tile": [(f(2, 3), [2])],
    "repeat_interleave": [(f(3), 2), (f(2, 3), np.array([1, 2, 0]), 1), (np.array([2, 0, 1]),)],
    "flip": [(f(2, 3), [0, 1])],
    "roll": [(f(2, 3), [1]), (f(2, 3), [1, 2], [0, 1])],
    "rot90": [(f(2, 3), 1, [0, 1])],
    "tril": [(f(3, 4), 1)],
    "triu": [(f(3, 4), -1)],
    "diagonal": [(f(3, 4), 1)],
    "diag": [(f(3),), (f(3, 3), 1)],
    "diag_embed": [(f(2, 3),), (f(2, 3), 1)],
    "diff": [(f(5),), (f(2, 5), 2, 1)],
    "unfold": [(f(7), 0, 3, 2)],
    "cat": [([f(2, 3), f(2, 1)], 1), ([f(2), i(2)],), ([f(0), f(2, 3)],)],
    "stack": [([f(3), f(3)], 1)],
    "hstack": [([f(3), f(2)],)],
    "vstack": [([f(3), f(3)],)],
    "split": [(f(5, 2), 2), (f(5, 2), [1, 4]), (f(2, 5), 3, 1)],
    "split_with_sizes": [(f(5), [2, 3])],
    "chunk": [(f(5), 3)],
    "tensor_split": [(f(5), 3)],
    "unbind": [(f(2, 3), 1)],
    "meshgrid": [([f(2), f(3)], {"indexing": "xy"})],
    "pad": [(f(2, 3), [1, 2]), (f(1, 2, 3), [1, 1], "reflect"), (f(2, 3), [-1, 2], "constant", 5.0)],
    "constant_pad_nd": [(f(2, 3), [1, 0, 2, 1], 3)],
    "reflection_pad2d": [(f(1, 3, 3), [1, 1, 2, 0])],
    "replication_pad1d": [(f(1, 2, 3), [1, 2])],
    "select": [(f(2, 3), 1, -1)],
    "slice": [(f(5, 4), 0, 1, None, 2), (f(5, 4), 1, None, -1), (f(5, 4), 0, 0, 9223372036854775807, 1)],
    "narrow": [(f(5), 0, 1, 3)],
    "index": [
        (f(3, 4), [i(2, low=0, high=3)]),
        (f(3, 4), [None, i(2, low=0, high=4)]),
        (f(3, 4), [b(3)]),
        (f(3, 4), [b(3, 4)]),
    ],
    "index_put": [(f(3), [np.array([0, 2])], f(2)), (f(3), [np.array([0, 0])], f(2), True), (f(3, 2), [b(3)], f(1, 2))],
    "index_select": [(f(3, 4), 1, i(2, low=0, high=4))],
    "index_add": [(f(3, 4), 0, np.array([0, 2]), f(2, 4), {"alpha": 2})],
    "index_copy": [(f(3, 4), 0, np.array([0, 2]), f(2, 4))],
    "index_fill": [(f(3, 4), 0, np.array([0, 2]), 9.0)],
    "gather": [(f(3, 4), 1, i(3, 2, low=0, high=4))],
    "take": [(f(3, 4), i(2, low=0, high=12))],
    "take_along_dim": [(f(3, 4), i(3, 1, low=0, high=4), 1)],
    "scatter": [(f(3, 4), 1, np.array([[0], [1], [2]]), f(3, 1)), (f(3), 0, np.array([1]), {"value": 2.0})],
    "scatter_add": [(f(3), 0, np.array([1, 1]), f(2))],
    "masked_select": [(f(3, 4), b(3, 4))],
    "masked_scatter": [(f(4), np.array([True, False, True, False]), f(4))],
    "nonzero": [(i(3, 4),)],
    "select_scatter": [(f(3, 4), f(4), 0, 1)],
    "slice_scatter": [(f(3, 4), f(1, 4), 0, 1, 2)],
    "searchsorted": [(np.array([1.0, 2, 3]), np.array([0.5, 2, 9])), (np.array([1, 2]), 2, {"right": True})],
    "bucketize": [(f(4), np.array([-1, 0, 1], np.float32))],
    "zeros": [([2, 3],), ([2], {"dtype": torch.int64})],
    "full": [([2], 3), ([2], 1.5), ([2], True)],
    "arange": [(5,), (1, 5), (1.0, 2.0, 0.25), (5, {"dtype": torch.float32})],
    "linspace": [(0, 1, 5)],
    "logspace": [(0, 1, 5)],
    "eye": [(3,), (2, 3)],
    "full_like": [(f(2), 3)],
    "zeros_like": [(f(2),), (i(2), {"dtype": torch.float32})],
    "new_full": [(i(2), [2], 3)],
    "new_zeros": [(f(2), [2, 2])],
    "tril_indices": [(3, 3, 0)],
    "one_hot": [(i(4, low=0),), (i(4, low=0), 7)],
    "type_as": [(f(3), i(3))],
    "linear": [(f(2, 3), f(4, 3), f(4)), (f(3), f(4, 3))],
    "matmul": [(f(2, 3), f(3, 4)), (f(3), f(3)), (f(2, 2, 3), f(3))],
    "addmm": [(f(4), f(2, 3), f(3, 4), {"beta": 0.5, "alpha": 2})],
    "baddbmm": [(f(2, 3, 5), f(2, 3, 4), f(2, 4, 5))],
    "addbmm": [(f(3, 5), f(2, 3, 4), f(2, 4, 5), {"beta": 0.5})],
    "einsum": [("ij,kj->ik", [f(2, 3), f(4, 3)])],
    "inner": [(f(2, 3), f(4, 3)), (f(3), f(3))],
    "tensordot": [(f(2, 3, 4), f(4, 3, 5), [1, 2], [1, 0])],
    "outer": [(f(2), f(3))],
    "mv": [(f(2, 3), f(3))],
    "cdist": [(f(2, 3), f(4, 3))],
    "_weight_norm": [(f(3, 4), f(3, 1), 0)],
    "bilinear": [(f(2, 3), f(2, 4), f(5, 3, 4), f(5))],
    "conv1d": [(f(1, 2, 7), f(3, 2, 3), f(3), [2], [1])],
    "conv2d": [
        (f(1, 4, 7, 7), f(6, 2, 3, 3), None, [2, 1], [1, 0], [1, 2], 2),
        (f(1, 2, 5, 5), f(3, 2, 3, 3), f(3), [1], "same"),
    ],
    "conv3d": [(f(1, 2, 4, 4, 4), f(3, 2, 2, 2, 2))],
    "conv_transpose1d": [(f(1, 2, 5), f(2, 3, 3), f(3), [2])],
    "conv_transpose2d": [(f(1, 4, 5, 5), f(4, 3, 3, 3), f(6), [2, 2], [1, 1], [1, 1], 2, [1, 1])],
    "convolution": [(f(1, 2, 5, 5), f(3, 2, 3, 3), f(3), [1, 1], [1, 1], [1, 1], False, [0, 0], 1)],
    "max_pool1d": [(f(1, 2, 7), [3], [2], [1])],
    "max_pool2d": [(f(1, 2, 7, 7), [3], [], [1], [1], True), (f(1, 2, 7, 7), [3, 2], [2, 1])],
    "max_pool2d_with_indices": [(f(1, 2, 7, 7), [3], [2])],
    "avg_pool1d": [(f(1, 2, 7), [3])],
    "avg_pool2d": [(f(1, 2, 7, 7), [3], [2], [1], True, False), (f(1, 2, 7, 7), [3], [2], [1], False, True, 5)],
    "avg_pool3d": [(f(1, 2, 4, 4, 4), [2])],
    "adaptive_avg_pool1d": [(f(1, 2, 7), [3])],
    "adaptive_avg_pool2d": [(f(1, 2, 7, 7), [3, 2]), (f(1, 2, 7, 7), [1, 1])],
    "adaptive_max_pool2d": [(f(1, 2, 7, 7), [3, 2])],
    "batch_norm": [
        (f(3, 4, 5), f(4), f(4), f(4), f(4, low=0.5), False, 0.1, 1e-5, True),
        (f(3, 4), None, None, None, None, True, 0.1, 1e-5, True),
    ],
    "instance_norm": [(f(2, 3, 5), f(3), f(3), None, None, True, 0.1, 1e-5, True)],
    "layer_norm": [(f(2, 3, 4), [4], f(4), f(4)), (f(2, 3, 4), [3, 4])],
    "group_norm": [(f(2, 6, 5), 3, f(6), f(6))],
    "rms_norm": [(f(2, 4), [4], f(4))],
    "native_group_norm": [],
    "dropout": [(f(3), 0.5, False)],
    "embedding": [(f(5, 3), i(2, 2, low=0, high=5), 0)],
    "embedding_bag": [],
    "upsample_nearest2d": [
        (f(1, 2, 3, 3), [5, 7]),
        (f(1, 2, 3, 3), [6, 6], 2.0, 2.0),
        (f(1, 2, 3, 3), None, [2.0, 3.0]),
    ],
    "upsample_bilinear2d": [
        (f(1, 2, 3, 3), [5, 7], False),
        (f(1, 2, 3, 3), [5, 7], True),
        (f(1, 2, 3, 3), None, False, [2.0, 1.5]),
    ],
    "upsample_bicubic2d": [(f(1, 2, 4, 4), [7, 6], False)],
    "upsample_linear1d": [(f(1, 2, 3), [5], False)],
    "upsample_trilinear3d": [(f(1, 1, 2, 2, 2), [3, 3, 3], False)],
    "_upsample_bilinear2d_aa": [(f(1, 2, 9, 7), [4, 3], False), (f(1, 2, 3, 3), [5, 2], True)],
    "_upsample_bicubic2d_aa": [(f(1, 2, 9, 7), [4, 10], False), (f(1, 2, 8, 6), [4, 3], False, 0.5, 0.5)],
    "_upsample_lanczos2d_aa": [(f(1, 2, 9, 7), [4, 3], False)],
    "_upsample_nearest_exact2d": [(f(1, 2, 3, 3), [5, 7])],
    "grid_sampler": [(f(1, 2, 4, 4), f(1, 3, 3, 2, low=-1, high=1), 0, 0, False)],
    "affine_grid_generator": [(f(2, 2, 3), [2, 3, 4, 5], False), (f(1, 3, 4), [1, 2, 2, 3, 4], True)],
    "im2col": [(f(2, 3, 6, 7), [2, 3], [1, 2], [1, 0], [2, 1]), (f(3, 4, 4), [2, 2], [1, 1], [0, 0], [1, 1])],
    "special_expit": [(f(3),)],
    "pixel_shuffle": [(f(1, 8, 2, 2), 2)],
    "pixel_unshuffle": [(f(1, 2, 4, 4), 2)],
    "channel_shuffle": [(f(1, 6, 2, 2), 3)],
    "mse_loss": [(f(3), f(3)), (f(3), f(3), 2)],
    "l1_loss": [(f(3), f(3), 0)],
    "smooth_l1_loss": [(f(3), f(3), 1, 0.5)],
    "binary_cross_entropy_with_logits": [
        (f(3, 4), f(3, 4)), (f(3, 4), f(3, 4), f(4), f(4), 2), (f(3, 4), f(3, 4), None, None, 0),
    ],
    "cross_entropy_loss": [(f(3, 4), i(3, low=0, high=4))],
    "scaled_dot_product_attention": [
        (f(2, 2, 3, 4), f(2, 2, 5, 4), f(2, 2, 5, 4)),
        (f(1, 3, 4), f(1, 3, 4), f(1, 3, 4), None, 0.0, True),
    ],
    "_native_multi_head_attention": [
        (*[f(2, 3, 8)] * 3, 8, 2, f(24, 8), f(24), f(8, 8), f(8), None, True),
        (*[f(2, 3, 8)] * 3, 8, 2, f(24, 8), f(24), f(8, 8), f(8), np.array([[False, False, True]] * 2), False, True, 1),
    ],
    "_transformer_encoder_layer_fwd": [
        (f(2, 3, 8), 8, 2, f(24, 8), f(24), f(8, 8), f(8), gelu, first, 1e-5, f(8), f(8), f(8), f(8), f(16,
         8), f(16), f(8, 16), f(8))
        for gelu, first in ((True, False), (False, True))
    ],
    "lstm": [
        (f(5, 2, 3), [f(2, 2, 4), f(2, 2, 4)], [f(16, 3), f(16, 4), f(16), f(16)] * 2, True, 1, 0.0, False,
         True, False),
    ],
    "gru": [(f(2, 5, 3), f(1, 2, 4), [f(12, 3), f(12, 4)], False, 1, 0.0, False, False, True)],
    "rnn_tanh": [(f(5, 2, 3), f(1, 2, 4), [f(4, 3), f(4, 4), f(4), f(4)], True, 1, 0.0, False, False, False)],
    "lstm_cell": [(f(2, 3), [f(2, 4), f(2, 4)], f(16, 3), f(16, 4), f(16), f(16))],
    "gru_cell": [(f(2, 3), f(2, 4), f(12, 3), f(12, 4), f(12), f(12))],
    "rnn_relu_cell": [(f(2, 3), f(2, 4), f(4, 3), f(4, 4))],
}  # fmt: skip
IN_PLACE = sorted(name[6:-1] for name in OPERATORS if name.endswith("_") and name[6:-1] in CASES and "__" not in name)


def ours(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return Tensor(value.copy())
    if isinstance(value, torch.dtype):
        return aten.CODES[str(value).removeprefix("torch.")]
    return [ours(v) for v in value] if isinstance(value, list) else value


def theirs(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return [theirs(v) for v in value] if isinstance(value, list) else value


def compare(met: Any, expected: Any) -> None:
    if isinstance(expected, torch.Tensor):
        assert isinstance(met, Tensor)
        assert met.dtype.name == str(expected.dtype).removeprefix("torch.")
        assert met.shape == tuple(expected.shape)
        numbers = expected.resolve_conj().numpy()
        finite = np.abs(numbers[np.isfinite(numbers)]) if numbers.dtype.kind == "f" else np.zeros(0)
        np.testing.assert_allclose(met.array, numbers, 2e-5, 2e-6 * max(1.0, float(finite.max(initial=0))))
    elif isinstance(expected, (list, tuple)):
        assert isinstance(met, (list, tuple)) and len(met) == len(expected)
        for mine, other in zip(met, expected, strict=True):
            compare(mine, other)
    elif expected is not None:
        assert met == expected or (math.isnan(expected) and math.isnan(met))


def run(name: str, case: tuple[Any, ...]) -> None:
    named = case[-1] if isinstance(case[-1], dict) else {}
    args = case[: len(case) - bool(named)]
    with torch.no_grad():
        expected = getattr(torch.ops.aten, name)(*map(theirs, args), **named)
    with no_grad():
        met = OPERATORS[f"aten::{name}"](*map(ours, args), **{k: ours(v) for k, v in named.items()})
    compare(met, expected)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_row_gives_what_torch_gives(name: str) -> None:
    for case in CASES[name]:
        run(name, case)


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_row_in_place_changes_its_tensor(name: str) -> None:
    case = next((c for c in CASES[name] if c and isinstance(c[0], np.ndarray)), None)
    if case is None or name in COMPARISONS:
        pytest.skip("no case of its own")
    mine, other = ours(case[0]), theirs(case[0])
    named = case[-1] if isinstance(case[-1], dict) else {}
    rest = case[1 : len(case) - bool(named)]
    with torch.no_grad():
        try:
            getattr(torch.ops.aten, f"{name}_")(other, *map(theirs, rest), **named)
        except RuntimeError:
            pytest.skip("torch refuses the case in place")
    with no_grad():
        OPERATORS[f"aten::{name}_"](mine, *map(ours, rest), **{k: ours(v) for k, v in named.items()})
    compare(mine, other)
