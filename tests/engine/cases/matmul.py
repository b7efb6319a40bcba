"""Products of matrices."""

import numpy as np

from .case import case, some


def _product(a, b):
    """The sum over the shared dim, written out."""
    left = a[None] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    full = sum(left[..., :, k, None] * right[..., None, k, :] for k in range(left.shape[-1]))
    full = full[..., 0] if b.ndim == 1 else full
    return full[..., 0, :] if a.ndim == 1 and b.ndim > 1 else full[..., 0] if a.ndim == 1 else full


def _einsum(equation, *shapes):
    return case(
        *(some(*s) for s in shapes),
        equation=equation,
        reference=lambda *operands: np.einsum(equation, *operands),
        torch=lambda t, *operands: t.einsum(equation, *operands),
    )


ROWS = {
    "matmul": [
        case(some(*a), some(*b), reference=_product, torch=lambda t, a, b: a @ b)
        for a, b in [
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((3,), (3, 4)),
            ((2, 3), (3,)),
            ((2, 1, 3, 4), (5, 4, 2)),
            ((2, 2, 3), (3,)),
            ((3,), (2, 3, 2)),
        ]
    ]
    + [
        case(some(2, 0), some(0, 3), reference=lambda a, b: np.zeros((2, 3)), torch=lambda t, a, b: a @ b),
    ],
    "linear": [
        case(
            some(4, 3),
            some(2, 3),
            some(2),
            reference=lambda x, w, b: _product(x, w.T) + b,
            torch=lambda t, *a: t.nn.functional.linear(*a),
        ),
        case(
            some(2, 4, 3),
            some(2, 3),
            reference=lambda x, w: _product(x, w.T),
            torch=lambda t, *a: t.nn.functional.linear(*a),
        ),
        case(
            some(3),
            some(2, 3),
            some(2),
            reference=lambda x, w, b: _product(w, x) + b,
            torch=lambda t, *a: t.nn.functional.linear(*a),
        ),
        case(
            some(4, 3),
            some(2, 3),
            None,
            reference=lambda x, w, b: _product(x, w.T),
            torch=lambda t, *a: t.nn.functional.linear(*a),
        ),
    ],
    "einsum": [
        _einsum("ij,jk->ik", (2, 3), (3, 4)),
        _einsum("bhqd,bhkd->bhqk", (2, 1, 3, 2), (2, 1, 4, 2)),
        _einsum("ii->i", (3, 3)),
        _einsum("ii", (3, 3)),
        _einsum("ij->", (2, 3)),
        _einsum("i,j", (2,), (3,)),
        _einsum("...ij,...jk", (2, 2, 3), (3, 2)),
        _einsum("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)),
        _einsum("b i, b j -> b", (2, 3), (2, 2)),
        _einsum("ij,kj->jik", (2, 3), (2, 3)),
    ],
}
