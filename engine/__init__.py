"""The embedded tensor engine: tensors, gradients, layers and models on NumPy, under PyTorch's names.

`numserve.engine.models` is imported by those who want it.
"""

from . import autograd, creation, data, functions, jit, nn, optim, random
from .autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .compiled import CompiledModel, compile_module
from .creation import *  # noqa: F403
from .device import device
from .dtype import DType as dtype
from .dtype import (
    bfloat16,
    complex64,
    complex128,
    finfo,
    float16,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .dtype import bool_ as bool
from .dtype import complex64 as cfloat
from .dtype import complex128 as cdouble
from .dtype import float16 as half
from .dtype import float32 as float
from .dtype import float64 as double
from .dtype import int16 as short
from .dtype import int32 as int
from .dtype import int64 as long
from .errors import (
    DeviceError,
    DtypeError,
    EngineError,
    FormatError,
    GradientError,
    MissingOperatorsError,
    OutOfRangeError,
    ScriptError,
    ShapeError,
    UnsupportedOpError,
)
from .formats import load, save
from .functions import *  # noqa: F403
from .generator import Generator
from .random import *  # noqa: F403
from .size import Size
from .tensor import Tensor

__all__ = [
    "CompiledModel", "DeviceError", "DtypeError", "EngineError", "FormatError", "Generator", "GradientError",
    "MissingOperatorsError", "OutOfRangeError", "ScriptError", "ShapeError", "Size", "Tensor", "UnsupportedOpError",
    "autograd", "bfloat16", "bool", "cdouble", "cfloat", "compile_module", "complex128", "complex64", "data", "device",
    "double", "dtype", "enable_grad", "finfo", "float", "float16", "float32", "float64", "half", "iinfo",
    "inference_mode", "int", "int16", "int32", "int64", "int8", "is_grad_enabled", "jit", "load", "long", "nn",
    "no_grad", "optim", "save", "set_grad_enabled", "short", "uint16", "uint32", "uint64", "uint8",
]  # fmt: skip
__all__ += creation.__all__
__all__ += functions.__all__
__all__ += random.__all__
