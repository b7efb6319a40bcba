"""Archives made to do harm: each is refused in one sentence, or fails when it runs; nothing is imported or written."""

from __future__ import annotations

import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from numserve.engine import EngineError, FormatError, jit, ones

from .archives import HEAD, body, path_of, program, remade

MANY = 100_000
REFUSED = {
    "import": ("import os\n", "Import where"),
    "import in a function": (body("import os", "return x"), "Import is no part"),
    "statement": ("print(1)\n", "Expr where"),
    "exec": (body('exec("1")', "return x"), "the name 'exec' is not known"),
    "open": (body('return open("canary", "w")'), "the name 'open' is not known"),
    "builtins": (body("return __builtins__"), "the name '__builtins__' is not known"),
    "lambda": (body("return (lambda: x)()"), "Lambda is no part"),
    "comprehension": (body("return [y for y in x]"), "ListComp is no part"),
    "walrus": (body("return (y := x)"), "NamedExpr is no part"),
    "f-string": (body('return f"{x}"'), "text with a prefix"),
    "bytes": (body('return b"a"'), "text with a prefix"),
    "yield": (body("return (yield)"), "Yield is no part"),
    "await": (body("return await x"), "Await is no part"),
    "star": (body("return torch.cat([*x])"), "Starred is no part"),
    "keywords": (body("return torch.relu(**x)"), r"\*\* in a call"),
    "global": (body("global x", "return x"), "Global is no part"),
    "del": (body("del x", "return x"), "Delete is no part"),
    "try": (body("try:", "  return x", "except:", "  pass"), "Try is no part"),
    "class inside": (body("class A: pass", "return x"), "ClassDef is no part"),
    "decorator": (HEAD + "  @property\n  def forward(self, x):\n    return x\n", "decorators of an unknown kind"),
    "arguments of any number": (HEAD + "  def forward(self, *x):\n    return x\n", "parameters or decorators"),
    "base class": ("class M(Object):\n  pass\n", "of no kind that is known"),
    "metaclass": ("class M(Module, metaclass=type):\n  pass\n", "of no kind that is known"),
    "for over a list": (body("for y in [1]:", "  pass", "return x"), r"other than range"),
    "submodule of torch": (body("return torch.nn.functional.relu(x)"), "is no operator"),
    "class that is not there": (body("return __torch__.A.__new__(__torch__.A)"), "which it does not hold"),
    "PyTorch's machine code": (body("return __torch__.torch.classes.quantized.A.b(x)"), "machine code inside PyTorch"),
    "constant that is not there": (body("return CONSTANTS.c7"), "constant 7 of 0"),
    "named tuple's field": ("class P(NamedTuple):\n  __class__ : Tensor\n" + body("return x"), "a field '__class__'"),
    "twice": (body("return x") + body("return x"), "defines '__torch__.M' twice"),
    "hooks": (body("return x").replace(HEAD, HEAD + '  __forward_hooks__ = ["gone", ]\n'), "has no method 'gone'"),
    "indices": (body("return x[0:1, 2]"), "Slice is no part"),
    "zero byte": (body("return x\0"), "zero byte"),
    "no class": ("def f(x: Tensor) -> Tensor:\n  return x\n", "names '__torch__.M'"),
    "attributes": (body("return x" + ".a" * MANY), "far too long"),
    "signs": (body("return " + "-" * MANY + "x"), "far too long"),
    "brackets": (body("return " + "(" * MANY), "nests brackets"),
    "sums": (body("return x" + " + x" * MANY), "not a program"),
    "calls": (body("return x" + "()" * MANY), "not a program"),
    "conditions": (body("return " + "x if x else " * 20_000 + "x"), "not a program"),
    "words": (body("return [" + "1, " * 200_000 + "]"), "names and numbers"),
    "digits": (body("return " + "9" * 10_000), "not a program"),
    "text without an end": (body("return x", "y = torch.relu(x)" * 100_000), "longer than"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_code_that_is_no_torchscript_is_refused(name: str, tmp_path: Path) -> None:
    code, says = REFUSED[name]
    path = program(tmp_path / "m.pt", code)
    start = time.perf_counter()
    tracemalloc.start()

    with pytest.raises(FormatError, match=says) as caught:
        jit.load(path)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert peak < 64 << 20
    assert time.perf_counter() - start < 20
    assert [p.name for p in tmp_path.iterdir()] == ["m.pt"]


FAILS = {
    "attributes of tensors": "return x.__class__",
    "attributes of modules": "return self.__class__.__init__.__globals__",
    "attributes by text": 'return getattr(x, "__class__")',
    "attributes of operators": "return torch.relu.__globals__",
    "methods of tensors": "return (x).numpy()",
    "calling text": 'return (torch.format)("{}", x)(1)',
    "endless calls": "return (self).forward(x, )",
    "a petabyte": "return torch.zeros([1000000, 1000000, 1000])",
    "long text": 'return torch.center("a", 10000000000)',
    "wide text": 'return torch.percentFormat("%1000000000d", 1)',
    "large numbers": "return torch.pow(10, 100000000)",
    "large shifts": "return torch.__lshift__(1, 1000000000000)",
    "division by zero": "return torch.floordiv(1, 0)",
    "making what is no class": "return __torch__.M.__new__(__torch__.M)",
    "unpacking": "a, b, = x\nreturn a",
    "wrong arguments": "return torch.relu(x, x, x)",
    "a missing key": 'return {"a": 1}["b"]',
}


@pytest.mark.parametrize("name", FAILS)
def test_a_program_that_goes_wrong_raises_the_engines_errors(name: str, tmp_path: Path) -> None:
    path = program(tmp_path / "m.pt", body(*FAILS[name].split("\n")))
    try:
        module = jit.load(path)
    except FormatError:
        return

    with pytest.raises(EngineError, match="__torch__.py|RecursionError|expected"):
        module(ones(2))


CHANGES = {
    "no version": ({"version": None}, "does not say its version"),
    "a version that is none": ({"version": lambda _: b"x" * 30}, "expected a number"),
    "no code": ({"code/__torch__.py": None}, "no code"),
    "no data": ({"data.pkl": None}, "no record 'data.pkl'"),
    "constants that are no tuple": ({"constants.pkl": lambda _: b"\x80\x02}."}, "no tuple"),
    "code that is no text": ({"code/__torch__.py": lambda _: b"\xff\xfe"}, "not UTF-8"),
    "a global": ({"data.pkl": lambda _: b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."}, "'os.system'"),
    "a class that is not there": ({"data.pkl": lambda c: c.replace(b"Exported", b"Exploited")}, "does not hold"),
    "a list for a module": ({"data.pkl": lambda _: b"\x80\x02]."}, "holds a list"),
    "a state that is none": (
        {"data.pkl": lambda _: b"\x80\x02c__torch__\nExported\n)\x81K\x01b."}, "expected attributes by name"
    ),
    "arguments for a module": (
        {"data.pkl": lambda _: b"\x80\x02c__torch__\nExported\nK\x01\x85\x81}b."}, "cannot be made so"
    ),
    "a parameter that is none": (
        {"data.pkl": lambda _: b"\x80\x02c__torch__\nExported\n)\x81}X\1\0\0\0wK\1sb."}, "a tensor"
    ),
    "a name with dots": (
        {"data.pkl": lambda _: b"\x80\x02c__torch__\nExported\n)\x81}X\3\0\0\0a.bK\1sb."}, "named 'a.b'"
    ),
    "itself inside": ({"data.pkl": lambda _: b"\x80\x02]q\0h\0a."}, "contains itself"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_an_archive_that_does_not_fit_together_is_refused(name: str, tmp_path: Path) -> None:
    changes, says = CHANGES[name]
    path = remade(path_of("exported"), tmp_path / "m.pt", changes)  # type: ignore[arg-type]

    with pytest.raises(FormatError, match=says):
        jit.load(path)


def test_lists_that_hold_each_other_twice_are_made_once(tmp_path: Path) -> None:
    # Forty lists, each holding the one before it twice: 2 ** 40 values if they were unfolded.
    lists = b"]q\0" + b"".join(b"0](h%bh%beq%b" % (bytes([n - 1]), bytes([n - 1]), bytes([n])) for n in range(1, 41))
    pickle = b"\x80\x02" + lists + b"0c__torch__\nM\n)\x81}X\1\0\0\0ah\x28sb."
    path = program(tmp_path / "m.pt", body("return x"))

    module = jit.load(remade(path, tmp_path / "n.pt", {"data.pkl": lambda _: pickle}))

    assert module.a[0] is module.a[1]


def test_code_that_inflates_beyond_measure_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}.")
        archive.writestr("m/constants.pkl", b"\x80\x02).")
        archive.writestr("m/version", "3")
        archive.writestr("m/code/__torch__.py", b"#" * (1 << 27))
    tracemalloc.start()

    with pytest.raises(FormatError, match="inflate|longer"):
        jit.load(tmp_path / "m.pt")

    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_loading_brings_no_module() -> None:
    before = set(sys.modules)

    jit.load(path_of("parts"))

    assert {name for name in set(sys.modules) - before if "__torch__" in name or name == "torch"} == set()


STATE = (
    HEAD.replace("training : bool", "training : bool\n  a : int")
    + """  def forward(self: __torch__.M, x: Tensor) -> Tensor:
    return torch.add(x, self.a)
  def __setstate__(self: __torch__.M, state: Tuple[int, bool]) -> NoneType:
"""
)


def with_state(path: Path, *lines: str) -> Path:
    """An archive whose module sets its state by itself."""
    code = STATE + "".join(f"    {line}\n" for line in lines)
    made = program(path, code)
    return remade(made, path, {"data.pkl": lambda _: b"\x80\x02c__torch__\nM\n)\x81K\x05\x89\x86b."})


def test_a_program_may_set_its_state_by_itself(tmp_path: Path) -> None:
    module = jit.load(with_state(tmp_path / "m.pt", "self.a = (state)[0]", "self.training = (state)[1]"))

    assert module(ones(2)).tolist() == [6, 6]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("while True:\n      pass", "loops for too long"),
        ("(self).__setstate__(state, )", "fails while it sets its state"),
        ('ops.prim.RaiseException("no")', "no .at code"),
    ],
)
def test_state_that_is_never_set_ends_in_a_refusal(line: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=says):
        jit.load(with_state(tmp_path / "m.pt", line))
