"""The page of operators, made from the tables: python scripts/operators.py writes docs/operators.md."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import numserve.engine as torch
from numserve.engine import Tensor, aten
from numserve.engine.executors.native.executor import BUILDERS as NATIVE
from numserve.engine.executors.numpy.activation import FUNCTIONS, WITH_NUMBERS
from numserve.engine.executors.numpy.elementwise import UNARY
from numserve.engine.executors.numpy.executor import BUILDERS, MOVES
from numserve.engine.jit.rules import RULES as TO_TORCHSCRIPT
from numserve.engine.nn import functional
from numserve.engine.onnx.exporting import RULES as TO_ONNX
from numserve.engine.onnx.operators import OPERATORS as ONNX
from numserve.engine.ops import PRIMITIVES

PAGE = Path(__file__).parent.parent / "docs" / "operators.md"
NUMPY = {*BUILDERS, *MOVES, *UNARY, *FUNCTIONS, *WITH_NUMBERS}

# Primitive → the operators of PyTorch's that have another name and are little else.
OTHER_NAMES = {
    "adaptive_max_pool": ("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    "avg_pool": ("avg_pool1d", "avg_pool2d", "avg_pool3d"), "cast": ("to", "type_as"),
    "clamp": ("clamp", "clip", "hardtanh", "relu6"), "conv": ("conv1d", "conv2d", "conv3d"),
    "conv_transpose": ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    "getitem": ("select", "narrow"), "interpolate": ("upsample_nearest2d", "upsample_bilinear2d"),
    "logsigmoid": ("log_sigmoid",), "lstm": ("lstm", "lstm_cell"), "max_dim": ("max",),
    "max_pool": ("max_pool1d", "max_pool2d", "max_pool3d"), "min_dim": ("min",), "norm": ("norm", "linalg_vector_norm"),
    "rnn": ("rnn_tanh", "rnn_relu"), "setitem": ("copy_", "fill_"),
    "permute": ("permute", "transpose", "t"), "reshape": ("reshape", "view", "flatten", "squeeze", "unsqueeze"),
}  # fmt: skip

# Primitive → what passes write in its place, with channels last or as a product with weights.
LOWERED = {
    "adaptive_max_pool": "max_pool_nhwc", "avg_pool": "avg_pool_nhwc", "batch_norm": "affine_nhwc", "conv": "conv_nhwc",
    "conv_transpose": "conv_nhwc", "interpolate": "matmul", "linear": "gemm", "max_pool": "max_pool_nhwc",
    "mean": "mean_nhwc",
}  # fmt: skip

HEAD = """\
# Operators

Made from the tables in the code by `python scripts/operators.py`; a test compares the page with them.

## Primitives

An operator is computed in one place, its primitive: a kernel with PyTorch's meaning, and its gradient. Every front end
comes down to these, and a graph consists of them.

* **PyTorch**: the operators that are little else, for eager tensors, TorchScript and torch.export alike.
* **ONNX**: the operators that are made with it.
* **Written**: whether a graph with it can be written as TorchScript (T) and as ONNX (O).
* **NumPy**, **native**: whether the executor has algorithms for it that allocate nothing; with an arrow, for what
  passes write in its place. Else the next executor has it: native leaves it to NumPy, NumPy to the primitive.
"""


def eager_names(name: str) -> list[str]:
    """Under which of PyTorch's names eager tensors have an operator."""
    homes = (("torch", torch), ("Tensor", Tensor), ("F", functional))
    return [f"{home}.{name}" for home, owner in homes if callable(getattr(owner, name, None))]


def torch_names(primitive: str) -> list[str]:
    """The operators of PyTorch's that a primitive is."""
    names = OTHER_NAMES.get(primitive, (primitive,))
    return [name for name in names if f"aten::{name}" in aten.OPERATORS or eager_names(name)]


def primitives_of(function: Callable[..., Any]) -> set[str]:
    """The primitives that an ONNX operator asks for in its source, and in the functions beside it that it calls."""
    given = inspect.signature(function).parameters.get("primitive")
    return {given.default} if given else _asked(function, set())


def _asked(function: Callable[..., Any], seen: set[Any]) -> set[str]:
    function = inspect.unwrap(function)
    if function in seen or not isinstance(function, FunctionType):
        return set()
    seen.add(function)
    found: set[Any] = set()
    names = PRIMITIVES.keys()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("at", "at.several") or (node.args and ast.unparse(node.args[0]) == "at"):
                found |= {c.value for a in node.args for c in ast.walk(a) if isinstance(c, ast.Constant)} & names
            if "onnx.operators" in getattr(called := function.__globals__.get(name), "__module__", ""):
                found |= _asked(called, seen)
    return found


def page() -> str:
    """The whole page."""
    return HEAD + "\n" + "\n".join([*_primitives(), *_torch(), *_onnx()]) + "\n"


def _primitives() -> Iterator[str]:
    made: dict[str, list[str]] = {}
    for (domain, name), function in sorted(ONNX.items()):
        for primitive in primitives_of(function):
            made.setdefault(primitive, []).append(f"{domain}:{name}".lstrip(":"))
    yield "| primitive | PyTorch | ONNX | written | gradient | NumPy | native |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in sorted(PRIMITIVES.items()):
        written = "T" * (name in TO_TORCHSCRIPT) + "O" * (name in TO_ONNX)
        executors = (_by(name, NUMPY), _by(name, NATIVE))
        cells = (_code(torch_names(name)), _code(made.get(name, ())), written, "yes" if row.rule else "", *executors)
        yield f"| `{name}` | {' | '.join(cells)} |"


def _by(name: str, table: Container[str]) -> str:
    if name in table:
        return "yes"
    return f"→ `{LOWERED[name]}`" if LOWERED.get(name) in table else ""


def _torch() -> Iterator[str]:
    names = sorted(name for name in aten.OPERATORS if not name.endswith("_") and not name.startswith("aten::__"))
    yield "\n## PyTorch's operators\n"
    yield f"The {len(aten.OPERATORS)} that TorchScript and torch.export files may name, and what eager tensors call"
    yield "them. A file with another is refused when it is loaded, with the names of all that are missing.\n"
    yield "| operator | in place | eager |"
    yield "|---|---|---|"
    for name in names:
        plain = name.partition("::")[2]
        yield f"| `{name}` | {'yes' if f'{name}_' in aten.OPERATORS else ''} | {_code(eager_names(plain))} |"


def _onnx() -> Iterator[str]:
    yield "\n## ONNX's operators\n"
    yield f"{len(ONNX)}, with the primitives that each is made of. The others are computed from values that are known"
    yield "when the graph is made, change nothing but the shape, or run eager.\n"
    yield "| operator | primitives |"
    yield "|---|---|"
    for (domain, name), function in sorted(ONNX.items()):
        yield f"| `{f'{domain}:{name}'.lstrip(':')}` | {_code(sorted(primitives_of(function)))} |"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page())
