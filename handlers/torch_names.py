"""Names of torch that have no home in the engine: what they do here is nothing, or next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from enum import Enum
from os import PathLike
from pathlib import Path
from shutil import copyfileobj
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import IO, Any

from .. import engine
from ..engine import formats

__all__ = [
    "BoolTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "compile",
    "get_num_threads",
    "is_tensor",
    "set_float32_matmul_precision",
    "set_num_threads",
]


class Nothing(ContextDecorator):
    """A context manager, and decorator, that takes any arguments and does nothing: autocast, profile, …"""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what the real one takes."""

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class ProfilerActivity(Enum):
    """What a profiler could watch."""

    CPU = "CPU"
    CUDA = "CUDA"


def is_available() -> bool:
    """False: there is no accelerator."""
    return False


def device_count() -> int:
    """The number of accelerators."""
    return 0


def empty_cache() -> None:
    """Free an accelerator's cached memory: there is none."""


def set_float32_matmul_precision(precision: str) -> None:
    """The engine computes float32 in float32, whatever is asked for."""


def set_num_threads(threads: int) -> None:
    """The server shares out the processor among its workers; a handler's wish changes nothing."""


def get_num_threads() -> int:
    """The threads that an operation counts on."""
    return 1


def Variable(data: engine.Tensor, requires_grad: bool = False, volatile: bool = False) -> engine.Tensor:
    """The tensor itself, as in every PyTorch since 0.4; `volatile` has meant nothing since."""
    return data.detach().requires_grad_() if requires_grad else data


def is_tensor(thing: object) -> bool:
    """Whether it is a tensor."""
    return isinstance(thing, engine.Tensor)


def compile(model: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """The model or function as it is; without one, a decorator that changes nothing."""
    return model if model is not None else lambda function: function


def load(
    f: str | PathLike[str] | IO[bytes],
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = True,
    mmap: bool | None = None,
) -> Any:
    """Read a checkpoint; nothing in the file is ever executed, whatever `weights_only` says."""
    if isinstance(f, str | PathLike):
        return formats.load(f)
    with NamedTemporaryFile(prefix="checkpoint-") as file:
        copyfileobj(f, file)
        file.flush()
        return formats.load(file.name)


def save(obj: object, f: str | PathLike[str] | IO[bytes]) -> None:
    """Write a state_dict, or dicts and lists of tensors and plain values, in PyTorch's zip form."""
    if isinstance(f, str | PathLike):
        return formats.save(obj, f)
    with TemporaryDirectory(prefix="checkpoint-") as folder:
        formats.save(obj, path := Path(folder, "file"))
        f.write(path.read_bytes())


def _typed(dtype: str) -> Callable[..., engine.Tensor]:
    def make(*data: Any) -> engine.Tensor:
        """A tensor of this type: of the given data, or empty of the given size."""
        if len(data) == 1 and not isinstance(data[0], int):
            return engine.as_tensor(data[0], dtype=getattr(engine, dtype))
        return engine.empty(*data, dtype=getattr(engine, dtype))

    return make


FloatTensor = _typed("float32")
DoubleTensor = _typed("float64")
HalfTensor = _typed("float16")
IntTensor = _typed("int32")
LongTensor = _typed("int64")
BoolTensor = _typed("bool")
