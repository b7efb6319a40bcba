"""Integrated gradients: how much each number of an input counted for a class.

Source: Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, 2017; computed as captum's IntegratedGradients
does by default: from a baseline of zeros, by Gauss-Legendre quadrature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .errors import PredictionException
from .library import library_of

STEPS = 15  # TorchServe's handlers for pictures take as many
TEXT_STEPS = 50  # and those for texts as captum does by default


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


def bag_gradients(model: Any, numbers: Any, target: Any, steps: int = TEXT_STEPS) -> Any:
    """How much each of the numbers (T) of a text counted for the class `target`, with a length of 1 in all.

    Gradients are taken where the model's `embedding` ends, on the way there from a text of zeros; those of a bag are
    shared out to its rows. Raises: PredictionException, 501, where the embedding takes the maximum of its rows.
    """
    library, table = library_of(numbers), model.embedding
    mode = getattr(table, "mode", None)
    if mode == "max":
        raise PredictionException("explaining a text takes an embedding that adds its rows up", 501)
    offsets = library.as_tensor([0], dtype=library.int64)
    points, weights = np.polynomial.legendre.leggauss(steps)
    with library.inference_mode(False), library.enable_grad(), _constant(model):
        rows = table.weight[numbers] - table.weight[library.zeros_like(numbers)]
        first, last = (table(each, offsets) if mode else table(each) for each in (numbers * 0, numbers))
        total = library.zeros_like(last)
        for point, weight in zip(points, weights, strict=True):
            at = (first + (last - first) * float((1 + point) / 2)).detach().clone().requires_grad_(True)
            handle = table.register_forward_hook(lambda *_, at=at: at)
            try:
                _scores(model(numbers, offsets), target).sum().backward()
            finally:
                handle.remove()
            total = total + at.grad * float(weight / 2)
    counted = (rows.detach() * total).sum(-1) / (max(1, len(numbers)) if mode == "mean" else 1)
    length = float(counted.norm()) if len(numbers) else 0.0
    return counted / length if length else counted


def _scores(output: Any, target: Any) -> Any:
    """The column of the target, its mean over pixels; a model that gives one number a row has no columns."""
    if isinstance(output, Mapping):
        output = output["out"]
    if len(output.shape) < 2:
        return output
    try:
        number = int(bytes(target) if isinstance(target, (bytearray, memoryview)) else target)
    except (TypeError, ValueError) as error:
        raise PredictionException(f"target is {target!r:.40}; expected the number of a class", 400) from error
    if not 0 <= number < output.shape[1]:
        raise PredictionException(f"target is {number}; the model has the classes 0 to {output.shape[1] - 1}", 400)
    return output[:, number].flatten(1).mean(1) if len(output.shape) > 2 else output[:, number]


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
