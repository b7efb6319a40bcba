"""Operators one by one: two cases of each from the suite that the onnx package brings, and what it does not ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numserve.engine import EngineError, FormatError, Tensor
from numserve.engine.graph import CaptureError, interpret
from numserve.engine.onnx import read
from numserve.engine.onnx.elements import ELEMENTS
from numserve.engine.onnx.operators import OPERATORS

from .made import graph, info, loaded, node, run, unpacked

CASES = unpacked()


def parts(case: dict[str, np.ndarray], letter: str) -> list[np.ndarray]:
    return [case[key] for key in sorted(case, key=lambda k: (k[0], int(k[1:] or 0) if k != "model" else 0)) if
            key != "model" and key[0] == letter]  # fmt: skip


def close(met: Any, wanted: np.ndarray) -> None:
    array = met.array if hasattr(met, "array") else np.asarray(met)
    if wanted.dtype.kind == "U":
        assert array.astype("U").tolist() == wanted.tolist()
        return
    assert array.shape == wanted.shape and array.dtype == wanted.dtype
    np.testing.assert_allclose(array, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_an_operator_means_what_its_case_says(name: str) -> None:
    case = CASES[name]
    model = read(memoryview(case["model"].tobytes()))
    given = [array.astype(object) if array.dtype.kind == "U" else array for array in parts(case, "i")]

    outputs = model.run(dict(zip([i.name for i in model.inputs], given, strict=False)))

    for met, wanted in zip(outputs, parts(case, "o"), strict=True):
        close(met, wanted)


@pytest.mark.parametrize("name", CASES)
def test_its_graph_means_the_same(name: str) -> None:
    case = CASES[name]
    model = read(memoryview(case["model"].tobytes()))
    given = parts(case, "i")
    if any(array.dtype.kind == "U" for array in given):
        return
    try:
        made = model.graph_for(*map(Tensor, given))
    except CaptureError as error:
        assert str(error).startswith("runs eager: ")
        return

    for met, wanted in zip(interpret(made, given), parts(case, "o"), strict=True):
        close(met, wanted)


def test_most_operators_have_a_case() -> None:
    met = {n.op for case in CASES.values() for n in read(memoryview(case["model"].tobytes()))._outer.nodes}

    assert len({name for _, name in OPERATORS} & met) >= 160


def test_division_of_whole_numbers_is_towards_zero() -> None:
    assert run("Div", np.array([-7, 7, -1]), np.array([2, -2, 3])).tolist() == [-3, -3, 0]


def test_softmax_of_old_files_is_over_all_that_follows() -> None:
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 4)

    old, new = run("Softmax", x, opset=11, axis=1), run("Softmax", x, opset=13, axis=1)

    assert np.isclose(old.sum(), 1) and np.allclose(new.sum(1), 1)


def test_embeddings_take_indices_from_the_end() -> None:
    table, places = np.arange(6, dtype=np.float32).reshape(3, 2), Tensor(np.array([-1, 0]))
    module = loaded(graph([node("Gather", ["w", "x"], ["y"])], [info("x", 7, ["N"])], weights={"w": table}))

    assert module(places).array.tolist() == [[4, 5], [0, 1]]
    assert interpret(module.graph_for(places), [places.array])[0].tolist() == [[4, 5], [0, 1]]


def test_a_gru_may_reset_before_the_product() -> None:
    rng = np.random.default_rng(0)
    x, w, r, b = (rng.standard_normal(s).astype(np.float32) for s in ((3, 2, 4), (1, 6, 4), (1, 6, 2), (1, 12)))

    before, after = (run("GRU", x, w, r, b, outputs=2, hidden_size=2, linear_before_reset=how)[0] for how in (0, 1))

    assert before.shape == after.shape == (3, 1, 2, 2) and not np.allclose(before, after)


def test_what_depends_on_values_is_told_by_its_node() -> None:
    module = loaded(graph([node("NonZero", ["x"], ["y"])], [info("x", 1, ["N", 2])]))

    with pytest.raises(CaptureError, match="runs eager: NonZero is not an operation on graphs"):
        module.graph_for(Tensor(np.ones((1, 2), np.float32)))
    assert module(Tensor(np.ones((1, 2), np.float32))).array.tolist() == [[0, 0], [0, 1]]


def test_random_numbers_are_no_constants() -> None:
    module = loaded(graph([node("RandomNormalLike", ["x"], ["y"])], [info("x", 1, ["N", 2])]))
    x = Tensor(np.ones((4, 2), np.float32))

    with pytest.raises(CaptureError, match="draws random numbers"):
        module.graph_for(x)
    assert not np.array_equal(module(x).array, module(x).array)


@pytest.mark.parametrize("code", [17, 18, 19, 20, 23, 24])
def test_a_small_float_holds_its_own_values_exactly(code: int) -> None:
    kind = ELEMENTS[code]
    assert kind.mini is not None
    values = kind.mini.values
    finite = np.isfinite(values) & ~((values == 0) & np.signbit(values))

    assert np.array_equal(kind.hold(values[finite]), values[finite])
    assert np.array_equal(kind.from_codes(kind.mini.codes(values[finite])), values[finite])


@pytest.mark.parametrize(
    ("code", "number", "wanted"),
    [(17, 500.0, 448.0), (17, 0.0146, 0.013671875), (19, 1e9, 57344.0), (23, 5.1, 6.0), (23, 0.25, 0.0),
     (22, 9, -7), (21, 17, 1), (16, 1.00390625, 1.0)],
)  # fmt: skip
def test_casts_to_small_types_round_to_what_these_hold(code: int, number: float, wanted: float) -> None:
    assert ELEMENTS[code].hold(np.array([number], np.float32)).tolist() == [wanted]


@pytest.mark.parametrize("code", [16, 17, 19, 21, 22, 23, 25, 26])
def test_bytes_of_small_types_come_back(code: int) -> None:
    kind = ELEMENTS[code]
    array = kind.hold(np.array([1, 0, 2, 1, 3]))

    assert np.array_equal(kind.decode(kind.encode(array), 5), array)


@pytest.mark.parametrize(
    ("op", "arrays", "attributes"),
    [
        ("Transpose", [np.ones((2, 3), np.float32)], {"perm": [0, 0]}),
        ("Concat", [np.ones((2, 3), np.float32)], {"axis": 5}),
        ("Conv", [np.ones((1, 1, 4), np.float32), np.ones((1, 1, 2), np.float32)], {"strides": [0]}),
        ("Split", [np.ones(4, np.float32)], {"axis": 0, "num_outputs": 0}),
        ("BitShift", [np.ones(1, np.uint8), np.ones(1, np.uint8)], {"direction": "UP"}),
        ("Resize", [np.ones((1, 1, 2), np.float32)], {"coordinate_transformation_mode": "odd"}),
        ("Resize", [np.ones((1, 1, 2), np.float32), np.ones(0, np.float32), np.array([1, 1, 1e7], np.float32)], {}),
        ("TopK", [np.ones(3, np.float32), np.array([9])], {}),
        ("Cast", [np.ones(3, np.float32)], {"to": 77}),
        ("LSTM", [np.ones((1, 1, 1), np.float32)] * 3, {"hidden_size": 1}),
        ("Einsum", [np.ones(3, np.float32)], {"equation": "ij->"}),
    ],
)
def test_what_an_operator_cannot_take_is_refused(op: str, arrays: list[np.ndarray], attributes: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match=op):
        run(op, *arrays, **attributes)


def test_an_element_type_that_is_not_there_is_refused() -> None:
    with pytest.raises(FormatError, match="number 99"):
        loaded(graph([node("Relu", ["x"], ["y"])], [info("x", 99, [1])]))
