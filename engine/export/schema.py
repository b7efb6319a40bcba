"""The numbers and names of torch.export's schema. Source: torch/_export/serde/schema.py."""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable
from typing import Any

MAJOR = 8
STRIDED = 7  # the layout of all tensors that are read

# Number → element. The schema's numbers are not those of TorchScript.
ELEMENTS = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn",
    30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}  # fmt: skip


def _whole(function: Callable[[Any], Any]) -> Callable[[Any], int]:
    return lambda value: int(function(value))


# Arithmetic on sizes.
ARITHMETIC: dict[str, Callable[..., Any]] = {
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in (
            "add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "le", "lt", "mod", "mul", "ne", "neg", "or_", "pos",
            "pow", "sub", "truediv",
        )
    },
    **{f"math.{name}": _whole(getattr(math, name)) for name in ("ceil", "floor", "trunc")},
    "_operator.not_": operator.not_, "math.sqrt": math.sqrt, "torch.sym_float": float, "torch.sym_int": int,
    "torch.sym_max": max, "torch.sym_min": min, "torch.sym_not": operator.not_, "builtins.max": max,
    "builtins.min": min, "builtins.round": builtins.round, "torch.sym_ite": lambda test, a, b: a if test else b,
    "torch._sym_sqrt": math.sqrt, "torch.sym_sum": sum,
}  # fmt: skip
