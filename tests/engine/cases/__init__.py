"""The one table of cases for all primitives: name → cases, each checked in every way that test_ops.py knows.

A family of primitives has a module here with a dict ROWS, and a line below. A row is a list of cases:

    "linear": [
        case(
            some(4, 3), some(2, 3),
            reference=lambda x, w: x @ w.T, torch=lambda t, x, w: t.nn.functional.linear(x, w),
        ),
    ],

Positional: the operands in the primitive's own order: float64 arrays (checked by finite differences), other arrays,
numbers or None. Keywords: the primitive's attributes, and
    reference   the same from plain NumPy or Python, given the operands; left out only where torch is the one reference
    torch       the same from torch, given the module torch and the operands as torch tensors
    smooth      False where finite differences cannot apply, as a gradient that is 0 by agreement
Several outputs are tuples in all of these. `some(2, 3)` gives distinct float64 numbers between -2 and 2, none near 0.
"""

from __future__ import annotations

from . import (
    activation,
    arithmetic,
    attention,
    boxes,
    comparison,
    convolution,
    indexing,
    loss,
    lowered,
    matmul,
    normalization,
    pooling,
    recurrent,
    reduction,
    sampling,
    shape,
    sorting,
    unary,
)
from .case import Case

FAMILIES = [
    activation,
    arithmetic,
    attention,
    boxes,
    comparison,
    convolution,
    indexing,
    loss,
    lowered,
    matmul,
    normalization,
    pooling,
    recurrent,
    reduction,
    sampling,
    shape,
    sorting,
    unary,
]
CASES: dict[str, list[Case]] = {name: row for family in FAMILIES for name, row in family.ROWS.items()}
