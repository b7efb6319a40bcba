"""Dtypes: names, conversion, and PyTorch's rules for mixing them."""

import itertools
from typing import Any

import numpy as np
import numserve.engine as engine
import pytest
from numserve.engine import DtypeError, Tensor, ones, result_type, tensor
from numserve.engine.dtype import DTYPES, named, of, round_to_bfloat16

TABLE = [
    ("int32", 1, "int64", 1, "int64"),
    ("uint8", 1, "int8", 1, "int16"),
    ("int64", 1, "float16", 1, "float16"),
    ("float16", 1, "float32", 1, "float32"),
    ("bool", 1, "uint8", 1, "uint8"),
    ("float32", 1, "float64", 0, "float32"),
    ("int64", 1, "float64", 0, "float64"),
    ("int8", 1, "int64", 0, "int8"),
    ("bool", 1, "int64", 0, "int64"),
    ("int64", 0, "float16", 0, "float16"),
    ("float32", 1, "complex64", 1, "complex64"),
    ("float64", 1, "complex64", 0, "complex128"),
]


def make(name: str, dims: int, module: Any = engine) -> Any:
    return module.ones((2,) * dims, dtype=getattr(module, name))


@pytest.mark.parametrize(("a", "dims", "b", "other_dims", "expected"), TABLE)
def test_two_tensors_meet(a: str, dims: int, b: str, other_dims: int, expected: str) -> None:
    one, other = make(a, dims), make(b, other_dims)
    assert result_type(one, other).name == result_type(other, one).name == expected
    assert (one + other).dtype.name == expected


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [("int32", 1, "int32"), ("int32", 1.0, "float32"), ("float16", 1.0, "float16"), ("bool", 1, "int64"),
     ("bool", True, "bool"), ("uint8", True, "uint8"), ("float64", 1j, "complex128"),
     ("float32", np.float64(1), "float32")],
)  # fmt: skip
def test_numbers_count_by_category_alone(name: str, number: Any, expected: str) -> None:
    assert (make(name, 1) * number).dtype.name == (number * make(name, 1)).dtype.name == expected


def test_numbers_that_do_not_fit_wrap_around() -> None:
    assert (tensor([1], dtype=engine.int8) + 300).tolist() == [45]
    assert (tensor([200], dtype=engine.uint8) * 2).tolist() == [144]


@pytest.mark.parametrize("other", ["1", None, [1.0], object()])
def test_other_objects_are_no_operands(other: Any) -> None:
    with pytest.raises(TypeError, match="expected a tensor or a number"):
        ones(2) + other


def test_division_of_integers_gives_floats() -> None:
    assert (tensor([3]) / tensor([2])).tolist() == [1.5]
    assert (tensor([3]) / 2).dtype.name == "float32"


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(1.0, 1.0), (1.00390625, 1.0), (1.01171875, 1.015625), (3.4e38, float("inf")), (-2.7182817, -2.71875)],
)
def test_bfloat16_rounds_to_the_nearest_even(value: float, rounded: float) -> None:
    assert tensor([value]).bfloat16().tolist() == [rounded]
    assert tensor([value]).to(engine.bfloat16).dtype.name == "float32"


def test_bfloat16_keeps_nan() -> None:
    assert np.isnan(round_to_bfloat16(np.array([np.nan], np.float32))).all()


@pytest.mark.parametrize("name", ["float32", "torch.float32", "float", float, engine.float32])
def test_dtypes_by_name(name: Any) -> None:
    assert named(name) is engine.float32


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DtypeError, match="expected one of bool, uint8"):
        named("float23")


def test_arrays_without_a_dtype_of_ours_are_refused() -> None:
    with pytest.raises(DtypeError, match="cannot be tensors"):
        tensor(np.array(["a"]))


def test_other_byte_orders_are_known() -> None:
    assert of(np.zeros(1, ">f4")) is engine.float32


def test_aliases_are_pytorchs() -> None:
    assert (engine.float, engine.double, engine.half) == (engine.float32, engine.float64, engine.float16)
    assert (engine.long, engine.int, engine.short) == (engine.int64, engine.int32, engine.int16)
    assert engine.bool is DTYPES["bool"] and isinstance(engine.bool, engine.dtype)


def test_limits_of_dtypes() -> None:
    assert engine.finfo(engine.float32).eps == 2**-23
    assert engine.finfo(engine.bfloat16).max == 3.3895313892515355e38
    assert (engine.iinfo(engine.int8).min, engine.iinfo(engine.int8).max) == (-128, 127)


@pytest.mark.parametrize(
    ("method", "name"),
    [("float", "float32"), ("double", "float64"), ("half", "float16"), ("long", "int64"), ("int", "int32"),
     ("short", "int16"), ("char", "int8"), ("byte", "uint8"), ("bool", "bool")],
)  # fmt: skip
def test_methods_that_convert(method: str, name: str) -> None:
    converted: Tensor = getattr(tensor([0, 1]), method)()
    assert converted.dtype.name == name and converted.tolist() == [0, 1]


def _dtype_of_result(operation: str, a: str, b: str, module: Any) -> str | None:
    try:
        result = getattr(module, operation)(make(a, 1, module), make(b, 1, module))
    except (TypeError, RuntimeError):
        return None
    return str(result.dtype).rpartition(".")[2]


NAMES = [n for n in DTYPES if n not in ("bfloat16", "uint16", "uint32", "uint64")]
COMMON = [
    "add",
    "mul",
    "div",
    "floor_divide",
    "remainder",
    "fmod",
    "pow",
    "maximum",
    "eq",
    "lt",
    "atan2",
    "bitwise_and",
]


@pytest.mark.oracle
@pytest.mark.parametrize("a", NAMES)
def test_result_types_are_torchs(a: str) -> None:
    torch = pytest.importorskip("torch")
    for b, dims, other_dims in itertools.product(NAMES, (0, 1), (0, 1)):
        expected = torch.result_type(make(a, dims, torch), make(b, other_dims, torch))
        expected = str(expected).replace("complex32", "complex64")  # which NumPy does not have
        assert f"torch.{result_type(make(a, dims), make(b, other_dims)).name}" == expected, (b, dims, other_dims)
    for number, dims in itertools.product((True, 2, 2.5, 1j), (0, 1)):
        expected = str(torch.result_type(make(a, dims, torch), number)).replace("complex32", "complex64")
        assert f"torch.{result_type(make(a, dims), number).name}" == expected, (number, dims)


@pytest.mark.oracle
@pytest.mark.parametrize("operation", COMMON)
def test_dtypes_of_results_are_torchs(operation: str) -> None:
    torch = pytest.importorskip("torch")
    for a, b in itertools.product(NAMES, NAMES):
        expected = _dtype_of_result(operation, a, b, torch)
        if expected and expected != "complex32":
            assert _dtype_of_result(operation, a, b, engine) == expected, (a, b)
