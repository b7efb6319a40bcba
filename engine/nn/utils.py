"""What is done to parameters as a whole: clipping gradients, and parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..errors import EngineError, ShapeError
from ..functions import cat
from ..tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients together to a norm of at most `max_norm`, and give the norm they had.

    Source: torch.nn.utils.clip_grad_norm_.
    """
    grads = _gradients(parameters)
    norms = [float(np.linalg.norm(grad.array.ravel(), norm_type)) for grad in grads]
    total = float(np.linalg.norm(norms, norm_type)) if norms else 0.0
    if error_if_nonfinite and not math.isfinite(total):
        raise EngineError(f"clip_grad_norm_: the norm of the gradients is {total}; expected a finite one")
    factor = max_norm / (total + 1e-6)
    if factor < 1:
        for grad in grads:
            grad.array = grad.array * grad.array.dtype.type(factor)
    return Tensor(np.float32(total))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Keep every element of the gradients within ±clip_value. Source: torch.nn.utils.clip_grad_value_."""
    for grad in _gradients(parameters):
        grad.array = np.clip(grad.array, -clip_value, clip_value)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    given = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in given if p.grad is not None]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements one behind the other. Source: torch.nn.utils.parameters_to_vector."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the elements back to the parameters. Source: torch.nn.utils.vector_to_parameters."""
    start = 0
    for parameter in parameters:
        size = math.prod(parameter.shape)
        part = vec.array[start : start + size]
        if part.size != size:
            raise ShapeError(f"vector_to_parameters: the vector has {vec.array.size} elements, too few")
        parameter.data = Tensor(part.reshape(parameter.shape).copy())
        start += size
