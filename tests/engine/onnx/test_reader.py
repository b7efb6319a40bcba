"""ONNX files as others write them, and what is refused of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import DtypeError, FormatError, ShapeError, Tensor, formats
from numserve.engine.compiled import compile_module
from numserve.engine.errors import MissingOperatorsError
from numserve.engine.graph import CaptureError, Extent, GraphModule
from numserve.engine.onnx import load
from numserve.engine.onnx.operators import OPERATORS

from .made import DATA, graph, info, loaded, model, node

FILES = sorted(path.stem for path in DATA.glob("*.onnx"))
EXPECTED = np.load(DATA / "expected.npz")
X = info("x", 1, ["N", 3])


def answers(name: str) -> list[np.ndarray]:
    return [EXPECTED[key] for key in sorted(EXPECTED.files) if key.startswith(f"{name}/out")]


def parts(result: Any) -> list[np.ndarray]:
    return [t.array for t in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("name", FILES)
def test_files_of_others_give_what_they_should(name: str) -> None:
    result = load(DATA / f"{name}.onnx")(Tensor(EXPECTED[f"{name}/x"]))

    for met, wanted in zip(parts(result), answers(name), strict=True):
        np.testing.assert_allclose(met, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("looped", "opset10")])
def test_they_are_planned_for_every_batch(name: str) -> None:
    x = EXPECTED[f"{name}/x"]

    compiled = compile_module(load(DATA / f"{name}.onnx"), Tensor(x[:1]))

    assert compiled.reason == "" and compiled.graph is not None and compiled.graph.note == ""
    for met, wanted in zip(parts(compiled(Tensor(x))), answers(name), strict=True):
        np.testing.assert_allclose(met, wanted, rtol=1e-4, atol=1e-5)
    assert compiled.eager_calls == 0


def test_a_branch_on_values_runs_eager_and_says_so() -> None:
    compiled = compile_module(load(DATA / "looped.onnx"), Tensor(EXPECTED["looped/x"]))

    assert compiled.reason.startswith("the condition of If") and "depends on the inputs" in compiled.reason
    np.testing.assert_allclose(compiled(Tensor(EXPECTED["looped/x"])).array, EXPECTED["looped/out0"])


def test_the_graph_has_shapes_that_follow_the_batch_alone() -> None:
    made = load(DATA / "words_legacy.onnx").graph_for(Tensor(EXPECTED["words_legacy/x"]))

    assert made.polymorphic
    assert made.inputs[0].shape == (Extent(1), 6) and made.outputs[0].shape == (Extent(1), 3)
    assert {n.op for n in made.nodes} <= {
        "add", "cat", "div", "embedding", "lt", "where", "erf", "expand", "getitem", "layer_norm", "linear", "matmul",
        "mul", "permute", "reshape", "softmax", "tanh", "scaled_dot_product_attention", "sqrt", "gelu", "index",
    }  # fmt: skip


def test_a_graph_made_of_it_is_a_module_of_its_own() -> None:
    x = Tensor(EXPECTED["pictures/x"])

    module = GraphModule(load(DATA / "pictures.onnx").graph_for(x))

    np.testing.assert_allclose(module(x).array, answers("pictures")[0], rtol=1e-4, atol=1e-5)
    assert "head.weight" in module.state_dict()


def test_weights_are_parameters_that_can_be_loaded() -> None:
    module = load(DATA / "pictures.onnx")
    state = {name: Tensor(np.zeros_like(t.array)) for name, t in module.state_dict().items()}

    module.load_state_dict(state)

    assert "head.bias" in state
    assert not module(Tensor(EXPECTED["pictures/x"])).array.any()


def test_large_weights_stay_in_the_mapped_file(tmp_path: Path) -> None:
    weight = np.ones((256, 256), np.float32)
    content = graph([node("MatMul", ["x", "w"], ["y"])], [info("x", 1, ["N", 256])], weights={"w": weight})
    (tmp_path / "large.onnx").write_bytes(model(content))

    module = load(tmp_path / "large.onnx")

    assert not module.state_dict()["w"].array.flags.owndata
    assert module(Tensor(np.ones((1, 256), np.float32))).array.max() == 256


def test_old_files_list_their_weights_as_inputs_too() -> None:
    inputs = [X, info("w", 1, [3])]

    module = loaded(graph([node("Mul", ["x", "w"], ["y"])], inputs, weights={"w": np.full(3, 2, np.float32)}))

    assert [i.name for i in module.inputs] == ["x"]
    assert module(Tensor(np.ones((1, 3), np.float32))).array.tolist() == [[2, 2, 2]]


def test_inputs_must_fit_before_anything_runs() -> None:
    module = loaded(graph([node("Relu", ["x"], ["y"])], [X]))

    with pytest.raises(ShapeError, match=r"met shape \(1, 4\); expected \(N, 3\)"):
        module(Tensor(np.ones((1, 4), np.float32)))
    with pytest.raises(DtypeError, match="met float64; expected float"):
        module(Tensor(np.ones((1, 3))))
    with pytest.raises(ShapeError, match="missing"):
        module()
    with pytest.raises(ShapeError, match="the inputs are x"):
        module(Tensor(np.ones((1, 3), np.float32)), z=Tensor(np.ones(1)))


def test_inputs_can_be_given_by_name() -> None:
    module = loaded(graph([node("Neg", ["x"], ["y"])], [X]))

    assert module(x=Tensor(np.ones((1, 3), np.float32))).array.tolist() == [[-1, -1, -1]]


def test_every_operator_that_is_missing_is_named_at_load() -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("Nowhere", ["a"], ["b"]), node("Odd", ["b"], ["y"], "my.domain")]

    with pytest.raises(MissingOperatorsError, match=r"'Nowhere' \(1\), 'my.domain:Odd' \(1\)"):
        loaded(graph(nodes, [X]))


def test_operators_in_branches_are_looked_at_as_well() -> None:
    branch = graph([node("Hidden", ["x"], ["z"])], outputs=["z"])
    nodes = [node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]

    with pytest.raises(MissingOperatorsError, match="Hidden"):
        loaded(graph(nodes, [X], weights={"c": np.array(True)}))


def test_a_version_that_nobody_knows_is_refused_with_advice() -> None:
    with pytest.raises(FormatError, match="opset 99; 1 to 28 are read"):
        loaded(graph([node("Relu", ["x"], ["y"])], [X]), 99)


def test_known_conditions_and_loops_are_part_of_the_graph() -> None:
    body = graph(
        [node("Add", ["v", "one"], ["w"]), node("Identity", ["c"], ["d"]), node("Identity", ["w"], ["s"])],
        [info("i", 7, []), info("c", 9, []), info("v", 1)], ["d", "w", "s"],
    )  # fmt: skip
    then = graph([node("Loop", ["turns", "", "x"], ["last", "each"], body=body)], outputs=["each"])
    other = graph([node("Neg", ["x"], ["z"])], outputs=["z"])
    weights = {"one": np.ones((), np.float32), "turns": np.array(3), "yes": np.array(True)}
    module = loaded(graph([node("If", ["yes"], ["y"], then_branch=then, else_branch=other)], [X], weights=weights))
    x = Tensor(np.zeros((2, 3), np.float32))

    made = module.graph_for(x)

    assert [n.op for n in made.nodes] == ["add", "add", "add", "stack"]
    assert module(x).array[:, 0, 0].tolist() == [1, 2, 3]


def test_a_files_own_functions_are_run_with_their_attributes() -> None:
    from numserve.engine.onnx.wire import Message

    slope = Message().text(1, "alpha").text(21, "slope").integer(20, 1)
    inner = Message().text(1, "a").text(2, "b").text(4, "LeakyRelu").message(5, slope)
    function = Message().text(1, "Bent").text(4, "a").text(5, "b").text(6, "slope").message(7, inner)
    function.message(9, Message().text(1, "").integer(2, 20)).text(10, "mine")
    content = graph([node("Bent", ["x"], ["y"], "mine", slope=0.5)], [X])

    module = loaded(content, functions=[function], mine=1)

    assert module(Tensor(np.full((1, 3), -2, np.float32))).array.tolist() == [[-1, -1, -1]]


def test_sequences_come_out_as_lists() -> None:
    nodes = [node("SplitToSequence", ["x"], ["y"], axis=1)]

    met = loaded(graph(nodes, [X]))(Tensor(np.arange(3, dtype=np.float32).reshape(1, 3)))

    assert [t.array.tolist() for t in met] == [[[0.0]], [[1.0]], [[2.0]]]


def test_a_shape_without_an_example_is_asked_for() -> None:
    module = loaded(graph([node("Relu", ["x"], ["y"])], [info("x", 1, ["N", "width"])]))

    with pytest.raises(CaptureError, match="sizes of 'x' are open"):
        _ = module.graph
    assert module.graph_for(Tensor(np.ones((2, 5), np.float32))).inputs[0].shape == (Extent(1), 5)


def test_a_model_that_fixes_its_batch_is_planned_for_that_alone() -> None:
    nodes = [node("Reshape", ["x", "shape"], ["y"])]
    module = loaded(graph(nodes, [X], weights={"shape": np.array([6])}))

    made = module.graph_for(Tensor(np.ones((2, 3), np.float32)))

    assert made.note.startswith("for a batch of 2 alone") and made.outputs[0].shape == (6,)


def test_what_goes_wrong_names_the_node() -> None:
    nodes = [node("Reshape", ["x", "shape"], ["y"])]
    module = loaded(graph(nodes, [X], weights={"shape": np.array([7])}))

    with pytest.raises(ShapeError, match=r"Reshape: reshape: \(1, 3\) has 3 elements"):
        module(Tensor(np.ones((1, 3), np.float32)))


def test_it_is_one_of_the_formats_that_are_told_by_content(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes((DATA / "pictures.onnx").read_bytes())

    module = formats.load(tmp_path / "model.pt")

    assert formats.detect(tmp_path / "model.pt") == "onnx"
    assert "head.weight" in formats.state_dict_of(module)
    np.testing.assert_allclose(
        module(Tensor(EXPECTED["pictures/x"])).array, answers("pictures")[0], rtol=1e-4, atol=1e-5
    )


def test_the_page_names_every_operator() -> None:
    page = (DATA.parents[2] / "docs" / "onnx.md").read_text().partition("## Operators")[2]

    named = {word.strip("`|, ") for word in page.split()}

    assert {f"{domain}:{name}" if domain else name for domain, name in OPERATORS} - named == set()
