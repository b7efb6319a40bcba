"""What rows do that torch is not needed for: numbers, text, containers, older versions, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numserve.engine import EngineError, OutOfRangeError, ScriptError, Tensor, UnsupportedOpError, aten, tensor
from numserve.engine.aten import OPERATORS, find

NUMBERS: dict[str, list[tuple[Any, ...]]] = {
    "add": [(1, 2, 3), ("a", "b", "ab"), ([1], [2], [1, 2])],
    "mul": [(2, 3.0, 6.0), ([1], 2, [1, 1])],
    "div": [(7, 2, 3.5), (1.0, 0.0, float("inf")), (-1, 0, float("-inf"))],
    "floordiv": [(-7, 2, -4)],
    "remainder": [(-7, 3, 2)],
    "pow": [(2, 3, 8), (2, -1, 0.5)],
    "neg": [(2, -2)],
    "sqrt": [(4.0, 2.0)],
    "floor": [(1.5, 1)],
    "round": [(2.5, 2.0)],
    "clamp": [(5, 1, 3, 3), (-5, 1, None, 1)],
    "__lshift__": [(1, 4, 16)],
    "__not__": [(True, False)],
    "eq": [(1, 1, True), ("a", "b", False), ([1, 2], [1, 2], True)],
    "len": [([1, 2], 2), ("abc", 3)],
    "slice": [([1, 2, 3, 4], 1, 3, [2, 3]), ("hello", None, None, -1, "olleh")],
    "prim::min": [(3, 2, 2), ([4, 1, 2], 1)],
    "prim::max": [(3, 2, 3)],
    "Int": [("12", 12), (3.7, 3)],
    "Float": [("1.5", 1.5)],
    "sum": [([1, 2, 3], 6)],
    "any": [([False, True], True)],
    "sorted": [([3, 1, 2], [1, 2, 3])],
    "split": [("a b c", " ", ["a", "b", "c"])],
    "join": [("-", ["a", "b"], "a-b")],
    "find": [("hello", "l", 2)],
    "format": [("{} and {}", 1, 2.0, "1 and 2.")],
    "percentFormat": [("%d%%", 3, "3%")],
    "index": [([1, 2, 3], 2, 1)],
    "count": [([1, 1, 2], 1, 2)],
    "__range_length": [(0, 7, 3, 3)],
    "__derive_index": [(2, 1, 3, 7)],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_text_and_lists(name: str) -> None:
    function = OPERATORS[name if "::" in name else f"aten::{name}"]
    for *args, expected in NUMBERS[name]:
        met = function(*args)
        assert met == expected
        assert type(met) is type(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.7, "2.7000000000000002"), (1.0, "1."), (0.5, "0.5"), (1e20, "1e+20"), (float("inf"), "inf"), (3, "3"),
        (True, "True"), (None, "None"), ([1.0, "a"], "[1., 'a']"), ((1,), "(1,)"), ({"a": 2.0}, "{'a': 2.}"),
    ],
)  # fmt: skip
def test_text_of_values_is_as_pytorch_writes_it(value: Any, text: str) -> None:
    assert aten.shown(value) == text


def test_lists_and_dicts_are_shared_and_changed() -> None:
    items, table = [1, 2], {"a": 1}

    OPERATORS["aten::append"](items, 3)
    OPERATORS["aten::insert"](items, 0, 9)
    OPERATORS["aten::_set_item"](table, "b", 2)
    OPERATORS["aten::Delete"](table, "a")

    assert (items, table) == ([9, 1, 2, 3], {"b": 2})
    assert OPERATORS["aten::pop"](items) == 3
    assert OPERATORS["aten::get"](table, "c", 5) == 5


def test_what_is_not_there_is_an_error_of_the_engine() -> None:
    for call in (
        lambda: OPERATORS["aten::__getitem__"]([1], 4),
        lambda: OPERATORS["aten::__getitem__"]({}, "a"),
        lambda: OPERATORS["aten::pop"]([]),
        lambda: OPERATORS["aten::remove"]([], 1),
    ):
        with pytest.raises((OutOfRangeError, EngineError)):
            call()


@pytest.mark.parametrize(
    ("name", "version", "args", "expected"),
    [
        ("div", 3, (tensor([7, -7]), 2), [3, -3]),
        ("div", 4, (tensor([7, -7]), 2), [3.5, -3.5]),
        ("full", 4, ([2], 3), [3.0, 3.0]),
        ("full", 5, ([2], 3), [3, 3]),
    ],
)
def test_older_programs_mean_what_they_meant(name: str, version: int, args: Any, expected: list[Any]) -> None:
    function = find(f"aten::{name}", version)

    assert function is not None
    met = function(*args).tolist()
    assert met == expected
    assert [type(m) for m in met] == [type(e) for e in expected]


def test_rows_beside_the_way_of_inference_raise_when_they_are_reached() -> None:
    with pytest.raises(UnsupportedOpError, match="nested tensors"):
        OPERATORS["aten::_nested_tensor_from_mask"](Tensor(np.zeros(1)))
    with pytest.raises(ScriptError, match="ValueError: bad"):
        OPERATORS["prim::RaiseException"]("bad", "builtins.ValueError")


def test_there_is_no_row_for_what_is_unknown() -> None:
    assert find("aten::frobnicate") is None


def test_dtype_numbers_go_both_ways() -> None:
    assert all(aten.CODES[dtype.name] == code for code, dtype in aten.DTYPES.items())
