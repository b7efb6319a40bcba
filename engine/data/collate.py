"""default_collate, which stacks examples to a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..creation import tensor
from ..dtype import float64
from ..errors import ShapeError
from ..tensor import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """Examples as one batch: tensors and arrays stacked, numbers made a tensor, tuples and dicts part by part.

    Texts stay a list. Source: torch.utils.data.default_collate.
    """
    first = batch[0]
    if isinstance(first, (Tensor, np.ndarray)):
        return _stack(batch)
    if isinstance(first, (bool, int, float, np.generic)):
        return tensor(batch, dtype=float64 if isinstance(first, float) else None)
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([example[key] for example in batch]) for key in first}
    if isinstance(first, Sequence):
        return _parts(batch)
    raise TypeError(
        f"default_collate: an example is a {type(first).__name__}; expected tensors, arrays, numbers, texts, "
        "or tuples, lists and dicts of them: give the DataLoader a collate_fn"
    )


def _stack(batch: Sequence[Any]) -> Tensor:
    arrays = [example.array if isinstance(example, Tensor) else example for example in batch]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ShapeError(f"default_collate: examples of shapes {sorted(shapes)} cannot be stacked; expected equal ones")
    return Tensor(np.stack(arrays))


def _parts(batch: Sequence[Any]) -> Any:
    """Tuples (named ones too) and lists, transposed."""
    first = batch[0]
    if any(len(example) != len(first) for example in batch):
        raise ShapeError("default_collate: the examples differ in length; expected as many parts in each")
    parts = [default_collate(part) for part in zip(*batch, strict=True)]
    if hasattr(first, "_fields"):
        return type(first)(*parts)
    return tuple(parts) if isinstance(first, tuple) else parts
