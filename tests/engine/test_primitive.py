"""The table of primitives: rows, what rules keep, and errors that name shapes."""

import ast
from pathlib import Path

import numpy as np
import numserve.engine.ops
import pytest
from numserve.engine import DtypeError, EngineError, ShapeError, ones, tensor, zeros
from numserve.engine.ops import PRIMITIVES, primitive
from numserve.engine.ops.primitive import Primitive

DIFFERENTIABLE_BY_NOBODY = {
    "adaptive_max_pool_indices", "all", "any", "argmax", "argmin", "bincount", "bitwise_and",
    "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "eq", "floor_divide",
    "ge", "gt", "histc", "isfinite", "isin", "isinf", "isnan", "le", "logical_and", "logical_not", "logical_or",
    "logical_xor", "lt", "max_pool_indices", "ne", "nms", "nonzero", "one_hot", "searchsorted", "trunc_divide",
    "unique",
}  # fmt: skip


def test_all_others_have_a_gradient() -> None:
    lowered = {row for row in vars(numserve.engine.ops.lowered).values() if isinstance(row, Primitive)}
    without = {name for name, row in PRIMITIVES.items() if row.rule is None and row not in lowered}
    assert without == DIFFERENTIABLE_BY_NOBODY


@pytest.mark.parametrize("name", PRIMITIVES)
def test_every_row_says_what_it_computes(name: str) -> None:
    assert (PRIMITIVES[name].__doc__ or "").strip().endswith((".", ")"))


def test_a_name_is_taken_once() -> None:
    with pytest.raises(EngineError, match="called 'add' already"):

        @primitive
        def add(x: np.ndarray) -> np.ndarray:
            return x


def test_a_rule_says_by_its_names_what_is_kept() -> None:
    row = Primitive("half", lambda x, y: x / 2)
    row.gradient(lambda g, out, _x, y: (g / 2, None))
    assert [row.keeps(i) for i in (-1, 0, 1)] == [True, False, True]


def test_rest_parameters_are_kept_together() -> None:
    row = Primitive("first", lambda *xs: xs[0])
    row.gradient(lambda g, _out, *xs: (g,))
    assert [row.keeps(i) for i in (-1, 0, 5)] == [False, True, True]


def test_a_primitive_is_a_function_of_arrays() -> None:
    assert PRIMITIVES["add"](np.array([1, 2]), 0.5).tolist() == [1.5, 2.5]
    assert repr(PRIMITIVES["add"]) == "<primitive add>"


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (lambda: ones(2, 3) + ones(4), r"add: \(2, 3\) and \(4,\): sizes 3 and 4 at dim -1 differ"),
        (lambda: ones(1, 2) @ ones(3, 1), r"matmul: \(1, 2\) @ \(3, 1\): inner sizes 2 and 3 differ"),
        (lambda: ones(2, 1, 2) @ ones(3, 2, 1), r"matmul: \(2, 1, 2\) and \(3, 2, 1\)"),
        (lambda: ones(3).view(2, 2), r"\(3,\) has 3 elements, which do not fit \(2, 2\)"),
        (lambda: ones(2, 3).T.view(6), r"cannot be seen as \(6,\) without a copy"),
        (lambda: ones(2, 3).expand(3, 3), r"expand: \(2, 3\) to \(3, 3\)"),
        (lambda: ones(2, 3).permute(0, 0), r"permute: \(2, 3\) by \(0, 0\)"),
        (lambda: ones(2, 3).split([1, 3], 1), r"add up to 4"),
        (lambda: ones(2).bmm(ones(2)), r"bmm: \(2,\) and \(2,\): expected 3 and 3 dims"),
        (lambda: ones(2, 3).topk(4), r"topk: k is 4, but dim -1 of \(2, 3\) has 3 elements"),
        (lambda: zeros(0).max(), r"amax: \(0,\) has no elements"),
        (lambda: ones(2).narrow(0, 1, 2), r"narrow: 2 from 1 on do not fit dim 0 of \(2,\)"),
    ],
)
def test_errors_of_shape_show_the_shapes(action, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ShapeError, match=text):
        action()


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (lambda: tensor([1, 2]).mean(), "mean: int64 has no mean"),
        (lambda: ones(2, 2) @ tensor([[1, 2], [3, 4]]), "matmul: float32 @ int64"),
        (lambda: tensor([True]) - tensor([True]), "sub:"),
        (lambda: tensor([1.0]) & tensor([1.0]), "bitwise_and:"),
        (lambda: tensor([2]) ** -1, "pow: integers have no negative powers"),
        (lambda: ones(2).masked_fill(tensor([1, 0]), 0), "masked_fill: the mask is int64"),
        (lambda: ones(2).gather(0, tensor([0.0])), "gather: an index of float32"),
    ],
)
def test_errors_of_dtype_show_the_dtypes(action, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DtypeError, match=text):
        action()


def test_division_of_integers_by_zero_is_refused() -> None:
    for action in (lambda x: x // 0, lambda x: x % 0, lambda x: x.fmod(0), lambda x: x.div(0, rounding_mode="trunc")):
        with pytest.raises(EngineError, match="division of integers by zero"):
            action(tensor([1]))


def test_no_kernel_prints_or_warns(recwarn: pytest.WarningsRecorder) -> None:
    x = tensor([0.0, float("inf"), float("nan"), -1.0, 3e38])
    for result in (x / 0, x.log(), x.sqrt(), x * x, x.exp(), x.softmax(0), x.var(), 1 / x, x.half(), x.long()):
        assert result is not None
    assert not recwarn.list


def test_kernels_never_import_tensors() -> None:
    folder = Path(numserve.engine.ops.__file__).parent
    for path in folder.glob("*.py"):
        imports = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        assert not [i for i in imports if i.module in ("tensor", "autograd")], path.name
