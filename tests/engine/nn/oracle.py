"""torch's layers and ours side by side: the same weights, then the same outputs and gradients."""

from types import ModuleType
from typing import Any

import numpy as np
from numserve.engine import Tensor, nn


def pair(torch: ModuleType, name: str, *arguments: Any, **options: Any) -> tuple[Any, Any]:
    """torch's layer and ours, with the same weights."""
    theirs = getattr(torch.nn, name)(*arguments, **options).double()
    ours = getattr(nn, name)(*arguments, **options).double()
    result = ours.load_state_dict({k: Tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    assert list(ours.state_dict()) == list(theirs.state_dict()) and not any(result)
    return theirs, ours


def flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [tensor for part in result for tensor in flat(part)]
    return [] if result is None else [result]


def agree(theirs: Any, ours: Any, inputs: list[Any], call: Any = lambda layer, *inputs: layer(*inputs)) -> None:
    """Outputs and gradients of inputs and parameters are equal."""
    wanted_inputs = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    given = [Tensor(x.numpy().copy(), requires_grad=x.is_floating_point()) for x in inputs]
    wanted, outputs = flat(call(theirs, *wanted_inputs)), flat(call(ours, *given))
    assert len(wanted) == len(outputs)
    for one, other in zip(outputs, wanted, strict=True):
        assert one.shape == tuple(other.shape)
        assert np.abs(one.detach().numpy() - other.detach().numpy()).max(initial=0) <= 1e-10
    sum((o * o).sum() for o in wanted).backward()
    sum(((o * o).sum() for o in outputs), Tensor(np.zeros(()))).backward()
    places = [*zip(given, wanted_inputs, strict=True), *zip(ours.parameters(), theirs.parameters(), strict=True)]
    for one, other in places:
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            assert np.abs(one.grad.numpy() - other.grad.numpy()).max() <= 1e-9
