"""Integrated gradients: how much each number of an input counted for a class.

Source: Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, 2017; computed as captum's IntegratedGradients
does by default: from a baseline of zeros, by Gauss-Legendre quadrature.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .errors import PredictionException
from .library import library_of

STEPS = 15  # TorchServe's handlers for pictures take as many


def integrated_gradients(model: Any, inputs: Any, target: Any, steps: int = STEPS) -> Any:
    """A tensor of the inputs' shape, whose sum over a row is about the score of `target` minus that of the baseline.

    Raises: PredictionException, 400, where `target` is no class of the model.
    """
    library = library_of(inputs)
    points, weights = np.polynomial.legendre.leggauss(steps)
    total = library.zeros_like(inputs)
    with library.inference_mode(False), library.enable_grad(), _constant(model):
        for point, weight in zip(points, weights, strict=True):
            at = (inputs * float((1 + point) / 2)).detach().clone().requires_grad_(True)
            _scores(model(at), target).sum().backward()
            total = total + at.grad * float(weight / 2)
    return (total * inputs).detach()


def _scores(output: Any, target: Any) -> Any:
    """The column of the target; a model that gives one number a row has no columns."""
    if len(output.shape) < 2:
        return output
    try:
        number = int(target.decode() if isinstance(target, (bytes, bytearray)) else target)
    except (TypeError, ValueError) as error:
        raise PredictionException(f"target is {target!r:.40}; expected the number of a class", 400) from error
    if not 0 <= number < output.shape[1]:
        raise PredictionException(f"target is {number}; the model has the classes 0 to {output.shape[1] - 1}", 400)
    return output[:, number]


@contextmanager
def _constant(model: Any) -> Iterator[None]:
    """No gradients of the weights: nobody asks for them, and they cost as much as those of the input."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
