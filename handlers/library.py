"""Which tensor library a model, a module or a tensor belongs to: the built-in engine, or PyTorch where it is installed.

The two share the names that handlers use (as_tensor, stack, softmax, topk, load, …), so a handler asks for the
library and goes on in one way. A batch is made for the library of its model.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from .. import engine
from ..engine import formats


def library_of(thing: Any) -> ModuleType:
    """torch for an object, or a class, that PyTorch's own classes are behind; numserve.engine for all else."""
    kind = thing if isinstance(thing, type) else type(thing)
    ours = not any(base.__module__.partition(".")[0] == "torch" for base in kind.__mro__)
    return engine if ours else sys.modules["torch"]


def convert(tensor: Any, library: ModuleType) -> Any:
    """The tensor as one of `library`, sharing memory."""
    return tensor if library_of(tensor) is library else library.from_numpy(tensor.detach().numpy())


def tensor_bytes(thing: object) -> bytes | None:
    """What torch.save writes for a tensor of either library; None for anything else."""
    library = library_of(thing)
    if not isinstance(thing, library.Tensor):
        return None
    with TemporaryDirectory(prefix="tensor-") as folder:
        path = Path(folder, "tensor.pt")
        (formats.save if library is engine else library.save)(thing, path)
        return path.read_bytes()
