"""Archives as PyTorch writes them: every form of the language, networks scripted, traced and frozen."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import MissingOperatorsError, ScriptError, Tensor, formats, jit, no_grad, ones, tensor
from numserve.engine.compiled import compile_module
from numserve.engine.sharing import share_in

from ..alike import same
from .archives import HEAD, RESULTS, body, path_of, program, remade

NETWORKS = [name for name in RESULTS if name.endswith(("_traced", "_scripted", "_frozen"))]


@pytest.fixture(autouse=True, params=["read", "indexed"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Archives are read; and then once more, opened by the index that was kept of them."""
    if request.param == "read":
        yield
        return
    load = jit.load

    def load_again(*args: Any, **named: Any) -> jit.ScriptModule:
        load(*args, **named)
        if hasattr(args[0], "seek"):
            args[0].seek(0)
        return load(*args, **named)

    monkeypatch.setattr(jit, "load", load_again)
    share_in(tmp_path / "shared")
    yield
    share_in(None)


def results(name: str) -> list[tuple[object, object]]:
    module = jit.load(path_of(name))
    with no_grad():
        met = [module(*args) for args in RESULTS[name]["in"]]
    return list(zip(met, RESULTS[name]["out"], strict=True))


@pytest.mark.parametrize("name", RESULTS)
def test_a_program_gives_what_pytorch_gives(name: str) -> None:
    for met, expected in results(name):
        assert same(met, expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_straight_program_runs_on_the_plan(name: str) -> None:
    module = jit.load(path_of(name)).eval()

    compiled = compile_module(module, *RESULTS[name]["in"][0])

    assert "args" not in {value.name for value in compiled.graph.inputs}
    assert compiled.describe()["mode"] == "plan", compiled.reason
    assert same(compiled(*RESULTS[name]["in"][0]), RESULTS[name]["out"][0])


ALIKE = """class Part(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  last : __torch__.{attribute}
  size : Final[int] = {size}
  scale : Final[float] = {scale}
  def forward(self: __torch__.{name}.Part,
    x: Tensor) -> Tensor:
    _0 = "{text}"
    if torch.gt(torch.len(x), 1):
      ops.prim.RaiseException(_0, "builtins.ValueError")
    return torch.add(torch.mul(x, self.scale), self.size)
"""


def of_parts(target: Path, *parts: dict[str, str]) -> Path:
    """An archive whose module calls parts of classes a.Part, b.Part, …, each in a file of its own."""
    names = "abcd"[: len(parts)]
    code = HEAD + "".join(f"  {name} : __torch__.{name}.Part\n" for name in names)
    code += "  def forward(self: __torch__.M, x: Tensor) -> Tensor:\n"
    code += "".join(f"    x = (self.{name}).forward(x, )\n" for name in names) + "    return x\n"
    data = b"\x80\x02c__torch__\nM\n)\x81}(X\x08\x00\x00\x00training\x89"
    for name in names:
        data += b"X\x01\x00\x00\x00%bc__torch__.%b\nPart\n)\x81}X\x08\x00\x00\x00training\x89sb" % (
            (name.encode(),) * 2
        )
    files = {"data.pkl": lambda _: data + b"ub.", "code/__torch__.py": lambda _: code.encode()}
    for name, part in zip(names, parts, strict=True):
        text = ALIKE.format(name=name, **{"attribute": "x", "text": "wide", "size": "1", "scale": "1.", **part})
        files[f"code/__torch__/{name}.py"] = lambda _, text=text: text.encode()
    return remade(program(target, HEAD), target, files)


def test_files_that_differ_by_names_and_numbers_are_compiled_once_each_with_its_own(tmp_path: Path) -> None:
    path = of_parts(
        tmp_path / "m.pt", {"attribute": "a.X"}, {"attribute": "b.___torch_mangle_7.Y"}, {"size": "5"}, {"scale": "10."}
    )

    module = jit.load(path)

    assert module(ones(1)).tolist() == [81.0]
    assert module.a._class.method("forward").body is module.c._class.method("forward").body
    assert module.a._class.method("forward").body is not module.d._class.method("forward").body
    assert [part.size for part in (module.a, module.b, module.c, module.d)] == [1, 1, 5, 1]
    assert [repr(part._class) for part in (module.a, module.b)] == [
        "<class __torch__.a.Part>",
        "<class __torch__.b.Part>",
    ]
    for name in "abcd":
        with pytest.raises(ScriptError, match=rf"wide \(at code/__torch__/{name}\.py:12\)"):
            getattr(module, name)(ones(2))


def test_files_that_differ_by_names_of_classes_in_text_are_not_taken_for_alike(tmp_path: Path) -> None:
    named = [{"text": f"no __torch__.{name}.Part"} for name in "ab"]

    module = jit.load(of_parts(tmp_path / "m.pt", *named))

    for name in "ab":
        with pytest.raises(ScriptError, match=rf"no __torch__\.{name}\.Part"):
            getattr(module, name)(ones(2))


def test_a_program_that_asks_for_values_runs_eager_and_says_where() -> None:
    compiled = compile_module(jit.load(path_of("mymodule")).eval(), ones(5))

    assert compiled.describe()["mode"] == "eager"
    assert "data-dependent" in compiled.reason
    assert compiled.reason.endswith("item() of a value that depends on the inputs at code/__torch__.py:10")


def test_an_attempt_to_compile_changes_no_state() -> None:
    module = jit.load(path_of("stateful")).eval()

    assert "changes 'n'" in compile_module(module, ones(2)).reason
    assert (module.k, module.history, module.n.tolist()) == (0, [], [0])


def test_state_is_kept_between_calls_and_known_by_name() -> None:
    module = jit.load(path_of("stateful"))

    module(ones(2))
    module(ones(2))

    assert module.k == 2
    assert module.history == [1, 2]
    assert module.state_dict()["n"].tolist() == [2]


def test_parameters_and_parts_have_their_names() -> None:
    module = jit.load(path_of("parts"))

    assert "cells.0.linear.weight" in module.state_dict()
    assert module.original_name == "Parts"
    assert module.tied.weight is module.chain._modules["0"].weight
    assert not module.training
    assert module.train().chain._modules["2"].training


def test_exported_methods_can_be_called() -> None:
    module = jit.load(path_of("exported"))

    assert module.encode(ones(2)).tolist() == [2, 3]


def test_weights_can_be_replaced() -> None:
    module = jit.load(path_of("exported"))

    module.load_state_dict({"w": tensor([4.0, 5.0])})

    assert module(ones(2)).tolist() == [5, 6]


def test_weights_lie_in_the_file() -> None:
    module = jit.load(path_of("convolutions_traced"))

    weights = [p.array for p in module.parameters()]

    assert weights
    assert not any(w.flags.owndata for w in weights)


def test_an_exception_of_the_program_says_its_kind_and_place() -> None:
    module = jit.load(path_of("checks"))

    with pytest.raises(ScriptError, match=r"ValueError: bad width \(at code/__torch__\.py:\d+\)"):
        module(ones(2, 5))
    with pytest.raises(ScriptError, match="need 2-d, got 1"):
        module(ones(4))


def test_all_missing_operators_are_named_at_once(tmp_path: Path) -> None:
    code = body("a = torch.frobnicate(x)", "return ops.sparse.twist(torch.relu(a), torch.frobnicate(a))")

    with pytest.raises(MissingOperatorsError, match="aten::frobnicate, sparse::twist"):
        jit.load(program(tmp_path / "m.pt", code))


@pytest.mark.parametrize(("version", "expected"), [(3, [-2, 3]), (4, [-2.5, 3.5])])
def test_integers_are_divided_as_the_version_of_the_file_says(
    tmp_path: Path, version: int, expected: list[float]
) -> None:
    module = jit.load(program(tmp_path / "m.pt", body("return torch.div(x, 2)"), version))

    assert module(tensor([-5, 7])).tolist() == expected


def test_load_takes_programs_as_it_takes_weights() -> None:
    module = formats.load(path_of("exported"))

    assert isinstance(module, jit.ScriptModule)
    assert formats.state_dict_of(module)["w"].tolist() == [2, 3]


def test_what_is_left_unset_is_an_error_of_the_program(tmp_path: Path) -> None:
    module = jit.load(
        program(tmp_path / "m.pt", body("if bool(x):", "  y = x", "else:", "  pass", "return torch.relu(y)"))
    )

    assert module(tensor(1.0)).item() == 1
    with pytest.raises(ScriptError):
        module(tensor(0.0))


def test_gradients_flow_through_programs() -> None:
    module = jit.load(path_of("exported"))

    module(Tensor(np.ones(2, np.float32))).sum().backward()

    assert module.w.grad.tolist() == [1, 1]


def test_a_copy_is_a_module_of_its_own() -> None:
    module = jit.load(path_of("stateful"))
    copied = copy.deepcopy(module)

    copied(ones(2))

    assert (module.k, copied.k) == (0, 1)
    assert copied.eval().look_up("training") is False
    assert module.training


def test_open_files_are_read_too() -> None:
    with open(path_of("exported"), "rb") as file:
        module = jit.load(file, map_location="cpu")

    assert module(ones(2)).tolist() == [3, 4]
