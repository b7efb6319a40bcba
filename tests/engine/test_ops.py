"""Every primitive, case by case: against a reference, finite differences and torch."""

from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor
from numserve.engine.ops import PRIMITIVES
from numserve.engine.tensor import apply

from .cases import CASES
from .cases.case import Case

ALL = [pytest.param(name, case, id=f"{name}-{n}") for name, row in CASES.items() for n, case in enumerate(row)]
STEP = 1e-6


def _outputs(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _run(name: str, operands: Any, case: Case) -> tuple[np.ndarray, ...]:
    return tuple(map(np.asarray, _outputs(PRIMITIVES[name](*operands, **case.attributes))))


def _differentiable(operand: Any) -> bool:
    return isinstance(operand, np.ndarray) and operand.dtype == np.float64


def _weights(outputs: Any) -> list[np.ndarray | None]:
    """Fixed weights, one for each element of the floating outputs."""
    return [np.cos(np.arange(o.size) + 1.0).reshape(o.shape) if o.dtype.kind == "f" else None for o in outputs]


def _weighted(outputs: Any) -> float:
    return sum(float((o * w).sum()) for o, w in zip(outputs, _weights(outputs), strict=True) if w is not None)


def _gradients(name: str, operands: Any, case: Case) -> list[np.ndarray]:
    """By backward(), of the weighted sum of the outputs."""
    tensors = [Tensor(o, requires_grad=True) if _differentiable(o) else o for o in operands]
    outputs = _outputs(apply(PRIMITIVES[name], *tensors, **case.attributes))
    weights = _weights([o.array for o in outputs])
    total = sum(
        ((o * Tensor(w)).sum() for o, w in zip(outputs, weights, strict=True) if w is not None), Tensor(np.zeros(()))
    )
    if total.requires_grad:
        total.backward()
    return [np.zeros_like(t.array) if t.grad is None else t.grad.array for t in tensors if isinstance(t, Tensor)]


def _differences(name: str, case: Case, position: int) -> np.ndarray:
    """The gradient of the weighted sum by finite differences."""
    result = np.zeros_like(case.operands[position])
    for place in np.ndindex(result.shape):
        sides = []
        for step in (STEP, -STEP):
            operands = list(case.operands)
            operands[position] = operands[position].copy()
            operands[position][place] += step
            sides.append(_weighted(_run(name, operands, case)))
        result[place] = (sides[0] - sides[1]) / (2 * STEP)
    return result


def test_every_primitive_has_cases() -> None:
    assert CASES.keys() == PRIMITIVES.keys()


def test_every_case_has_something_to_agree_with() -> None:
    assert [str(c) for row in CASES.values() for c in row if c.reference is None and c.torch is None] == []


@pytest.mark.parametrize(("name", "case"), [p for p in ALL if p.values[1].reference])
def test_the_kernel_agrees_with_its_reference(name: str, case: Case) -> None:
    assert case.reference is not None
    with np.errstate(all="ignore"):
        expected = _outputs(case.reference(*case.operands))
    outputs = _run(name, case.operands, case)
    assert len(outputs) == len(expected)
    for got, wanted in zip(outputs, expected, strict=True):
        assert got.shape == np.shape(wanted)
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "case"), [p for p in ALL if p.values[1].smooth])
def test_the_gradient_agrees_with_finite_differences(name: str, case: Case) -> None:
    gradients = iter(_gradients(name, case.operands, case))
    if PRIMITIVES[name].rule is None:
        return
    for position, operand in enumerate(case.operands):
        if _differentiable(operand):
            np.testing.assert_allclose(next(gradients), _differences(name, case, position), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "case"), ALL)
def test_operands_are_left_as_they_were(name: str, case: Case) -> None:
    before = [np.copy(o) for o in case.operands if isinstance(o, np.ndarray)]
    _gradients(name, case.operands, case)
    for was, now in zip(before, [o for o in case.operands if isinstance(o, np.ndarray)], strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize(("name", "case"), ALL)
def test_scattered_memory_makes_no_difference(name: str, case: Case) -> None:
    def spread(operand: Any) -> Any:
        if not isinstance(operand, np.ndarray) or not operand.ndim:
            return operand
        wide = np.repeat(operand, 2, axis=-1)
        return np.asfortranarray(wide)[..., ::2]

    apart = [spread(o) for o in case.operands]
    for one, other in zip(_run(name, case.operands, case), _run(name, apart, case), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    for one, other in zip(_gradients(name, case.operands, case), _gradients(name, apart, case), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "case"), ALL)
def test_float32_gives_float32(name: str, case: Case) -> None:
    if "dtype" in case.attributes:
        return
    narrow = [o.astype(np.float32) if _differentiable(o) else o for o in case.operands]
    if not any(isinstance(o, np.ndarray) and o.dtype == np.float32 for o in narrow):
        return
    for one, other in zip(_run(name, case.operands, case), _run(name, narrow, case), strict=True):
        assert other.dtype == (np.float32 if one.dtype == np.float64 else one.dtype)
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "case"), [p for p in ALL if p.values[1].torch])
def test_torch_agrees(name: str, case: Case) -> None:
    torch = pytest.importorskip("torch")
    assert case.torch is not None
    tensors = [
        torch.tensor(o, requires_grad=_differentiable(o)) if isinstance(o, np.ndarray) else o for o in case.operands
    ]
    expected = _outputs(case.torch(torch, *tensors))
    outputs = _run(name, case.operands, case)
    for got, wanted in zip(outputs, expected, strict=True):
        assert str(wanted.dtype).endswith(str(got.dtype))
        np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=1e-9, atol=1e-9)
    total = sum((e * torch.tensor(w)).sum() for e, w in zip(expected, _weights(outputs), strict=True) if w is not None)
    if getattr(total, "requires_grad", False):
        total.backward()
    wanted = [t.grad for t in tensors if isinstance(t, torch.Tensor) and t.requires_grad]
    for got, grad in zip(_gradients(name, case.operands, case), wanted, strict=True):
        np.testing.assert_allclose(got, 0 if grad is None else grad.numpy(), rtol=1e-7, atol=1e-9)
