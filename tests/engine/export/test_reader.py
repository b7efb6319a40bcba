"""Programs of torch.export: run eager and on the plan, refused where they are not what they should be."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import (
    DtypeError,
    FormatError,
    MissingOperatorsError,
    ScriptError,
    ShapeError,
    Tensor,
    compile_module,
    export,
    formats,
    no_grad,
    ones,
)

from ..alike import same
from .archives import RESULTS, changed, path_of, records_of, written

PLANNED = ["attention", "attention_decomposed", "convolutions", "convolutions_decomposed", "recurrent"]


@pytest.mark.parametrize("name", RESULTS)
def test_a_program_gives_what_pytorch_gives(name: str) -> None:
    case = RESULTS[name]
    program = export.load(path_of(name))

    with no_grad():
        for args, expected in zip(case["in"], case["out"], strict=True):
            assert same(program(*args, **case["named"]), expected)


@pytest.mark.parametrize("name", PLANNED)
def test_a_program_without_conditions_runs_on_the_plan(name: str) -> None:
    program, case = export.load(path_of(name)), RESULTS[name]

    compiled = compile_module(program, *case["in"][0])

    assert compiled.describe()["mode"] == "plan", compiled.reason
    for args, expected in zip(case["in"], case["out"], strict=True):
        assert same(compiled(*args), expected)
    assert compiled.eager_calls == 0


def test_a_condition_runs_eager_and_says_where(tmp_path: Path) -> None:
    def without_count(model: dict[str, Any]) -> None:
        del model["graph_module"]["graph"]["nodes"][0]

    program = export.load(changed("choosing", tmp_path / "m.pt2", without_count))

    compiled = compile_module(program, ones(3, 4))

    assert compiled.describe()["mode"] == "eager"
    assert "data-dependent" in compiled.reason
    assert "node " in compiled.reason


def test_parameters_have_their_names_and_tied_ones_are_one() -> None:
    program = export.load(path_of("choosing"))

    names = {"narrow_one", "linear.weight", "linear.bias", "tied.weight", "tied.bias", "count"}
    assert set(program.state_dict()) == names
    assert program.linear.weight is program.tied.weight
    assert not program.training


def test_buffers_change_as_the_program_says() -> None:
    program = export.load(path_of("choosing"))

    program(ones(3, 4))
    program(ones(3, 4))

    assert program.count.tolist() == [2]


def test_weights_lie_in_the_file() -> None:
    program = export.load(path_of("convolutions"))

    assert not program.head.weight.array.flags.owndata


def test_arguments_may_be_given_by_name() -> None:
    program, case = export.load(path_of("attention")), RESULTS["attention"]
    ids, mask = case["in"][0]

    assert same(program(mask=mask, ids=ids), case["out"][0])


def test_inputs_that_it_was_not_exported_for_are_refused() -> None:
    program = export.load(path_of("convolutions"))

    with pytest.raises(ShapeError, match=r"met shape \(2, 3, 8, 8\); expected \('s\d+', 3, 16, 16\)"):
        program(ones(2, 3, 8, 8))
    with pytest.raises(ShapeError, match="exported for 0 to 64"):
        program(ones(65, 3, 16, 16))
    with pytest.raises(DtypeError, match="met int64; expected float32"):
        program(Tensor(np.ones((2, 3, 16, 16), np.int64)))
    with pytest.raises(ScriptError, match="expected a tensor"):
        program(3)
    with pytest.raises(ScriptError, match="expected 1 values"):
        program(ones(2, 3, 16, 16), ones(1))
    with pytest.raises(ShapeError, match="expected"):
        export.load(path_of("attention"))(*(Tensor(np.ones((n, 6), np.int64)) for n in (2, 3)))


def test_load_takes_programs_as_it_takes_weights() -> None:
    program = formats.load(path_of("convolutions"))

    assert isinstance(program, export.ExportedProgram)
    assert "head.weight" in formats.state_dict_of(program)


def test_all_missing_operators_are_named_at_once(tmp_path: Path) -> None:
    def rename(model: dict[str, Any]) -> None:
        nodes = model["graph_module"]["graph"]["nodes"]
        nodes[0]["target"], nodes[1]["target"] = "torch.ops.aten.frobnicate.default", "torch.ops.mine.twist.default"

    with pytest.raises(MissingOperatorsError, match="aten::frobnicate, mine::twist"):
        export.load(changed("convolutions", tmp_path / "m.pt2", rename))


def test_other_schemas_are_refused_with_advice(tmp_path: Path) -> None:
    path = changed("convolutions", tmp_path / "m.pt2", lambda m: m["schema_version"].update(major=9))

    with pytest.raises(FormatError, match="of schema 9, and 8 is known; save it again with torch.export.save"):
        export.load(path)


def test_older_and_compiled_packages_are_refused_with_advice(tmp_path: Path) -> None:
    records = records_of(path_of("convolutions"))

    with zipfile.ZipFile(tmp_path / "a.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    with pytest.raises(FormatError, match="2.7 or older; save it again"):
        formats.load(tmp_path / "a.pt2")
    with pytest.raises(FormatError, match="machine code"):
        export.load(written(tmp_path / "c.pt2", {**records, "data/aotinductor/model/a.so": b"\x7fELF"}))


WRONG = {
    "an unknown input": (lambda m: m["signature"]["input_specs"][0].update(token=1), "has 2 kinds"),
    "no name": (lambda m: m["graph"]["nodes"][0]["outputs"][0]["as_tensor"].pop("name"), "lacks its 'name'"),
    "a name that nothing makes": (
        lambda m: m["graph"]["nodes"][0]["inputs"][0]["arg"].update(as_tensor={"name": "no"}), "nothing makes before"
    ),
    "an unknown argument": (
        lambda m: m["graph"]["nodes"][0]["inputs"][0].update(arg={"as_custom_obj": {}}), "of kind 'as_custom_obj'"
    ),
    "fewer outputs": (lambda m: m["graph"]["outputs"].pop(), "gives other values"),
    "fewer inputs": (lambda m: m["graph"]["inputs"].pop(), "nothing makes|other inputs"),
    "a tree of another version": (
        lambda m: m["module_call_graph"][0]["signature"].update(out_spec="[2, {}]"), "of version 2"
    ),
    "a tree of other things": (
        lambda m: m["module_call_graph"][0]["signature"].update(
            out_spec='[1, {"type": "os.environ", "context": null, "children_spec": []}]'
        ), "'os.environ'"
    ),
    "nodes that are text": (lambda m: m["graph"].update(nodes="x"), "'nodes' is 'x'; expected a list"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_program_that_does_not_fit_together_is_refused(name: str, tmp_path: Path) -> None:
    change, says = WRONG[name]

    with pytest.raises(FormatError, match=says):
        export.load(changed("convolutions", tmp_path / "m.pt2", lambda model: change(model["graph_module"])))


WEIGHTS = {
    "pickled": ({"use_pickle": True}, "is pickled"),
    "a record that is not there": ({"path_name": "weight_99"}, "no record"),
    "out of the archive": ({"path_name": "../../../../etc/passwd"}, "no record"),
}
META = {
    "float8": ({"dtype": 29}, "float8"),
    "a dtype that is none": ({"dtype": 99}, "dtype 99"),
    "sparse": ({"layout": 1}, "a layout"),
    "too large": ({"sizes": [{"as_int": 1 << 40}]}, "reaches to element|sizes and"),
    "a negative stride": ({"strides": [{"as_int": -1}]}, "negative|sizes and"),
    "an offset": ({"storage_offset": {"as_int": 1 << 61}}, "reaches to element"),
    "a free size": ({"sizes": [{"as_expr": {"expr_str": "s0"}}]}, "expected a number"),
}


@pytest.mark.parametrize("name", [*WEIGHTS, *META])
def test_weights_outside_of_their_record_are_refused(name: str, tmp_path: Path) -> None:
    update, says = (WEIGHTS | META)[name]

    def change(model: dict[str, Any]) -> None:
        entry = model["config"]["head.bias"]
        (entry if name in WEIGHTS else entry["tensor_meta"]).update(update)

    with pytest.raises(FormatError, match=says):
        export.load(changed("convolutions", tmp_path / "m.pt2", change, "data/weights/model_weights_config.json"))


def test_graphs_and_values_within_one_another_have_an_end(tmp_path: Path) -> None:
    deep = json.dumps([1]) + ""
    for _ in range(60):
        deep = f'{{"type": "builtins.list", "context": null, "children_spec": [{deep if deep != "[1]" else ""}]}}'

    def nest(model: dict[str, Any]) -> None:
        model["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = f"[1, {deep}]"

    with pytest.raises(FormatError, match="nested more than 50 deep"):
        export.load(changed("convolutions", tmp_path / "m.pt2", nest))
    records = records_of(path_of("convolutions"))
    with pytest.raises(FormatError, match="is no JSON"):
        export.load(written(tmp_path / "n.pt2", {**records, "models/model.json": b"[" * 1_000_000}))
