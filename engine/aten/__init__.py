"""PyTorch's operators by name, over the engine's tensors: what programs that were written elsewhere are made of."""

from . import (  # noqa: F401  # each enters its rows
    activation,
    attention,
    containers,
    conversion,
    convolution,
    creation,
    elementwise,
    indexing,
    joining,
    layers,
    normalization,
    pooling,
    prim,
    random,
    recurrent,
    reductions,
    sampling,
    shaping,
    text,
    vision,
)
from .arguments import CODES, DTYPES, dtype_of
from .prim import Count, to_bool, to_float, to_int
from .table import OPERATORS, find
from .text import shown

__all__ = ["CODES", "DTYPES", "OPERATORS", "Count", "dtype_of", "find", "shown", "to_bool", "to_float", "to_int"]
