"""Primitives of linear algebra: products of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import DtypeError, ShapeError
from .primitive import primitive

Pair = tuple[Array | None, Array | None]


def _same_dtype(name: str, a: Array, b: Array) -> None:
    if a.dtype != b.dtype:
        raise DtypeError(f"{name}: {a.dtype} @ {b.dtype}: expected both of one dtype")


@primitive
def matmul(a: Array, b: Array) -> Array:
    """The product of two matrices, of batches of them (which broadcast), or of vectors."""
    _same_dtype("matmul", a, b)
    if not a.ndim or not b.ndim:
        raise ShapeError(f"matmul: {a.shape} @ {b.shape}: both need at least 1 dim; use * for numbers")
    inner, other = a.shape[-1], b.shape[-2 if b.ndim > 1 else 0]
    if inner != other:
        raise ShapeError(
            f"matmul: {a.shape} @ {b.shape}: inner sizes {inner} and {other} differ; "
            "expected the last of the first to be the last but one of the second"
        )
    return np.asarray(np.matmul(a, b))


@matmul.cross_gradient
def _(
    g: Array, _out: None, a: Array, b: Array, *, needs: tuple[bool, bool], shapes: tuple[tuple[int, ...], ...]
) -> Pair:
    row, column = (len(shape) == 1 for shape in shapes)
    if column:
        g = g[..., None]
    if row:
        g = g[..., None, :]
    to_left = to_right = None
    if needs[0]:
        to_left = np.matmul(g, (b[:, None] if column else b).swapaxes(-1, -2).conj())
    if needs[1]:
        to_right = np.matmul((a[None] if row else a).swapaxes(-1, -2).conj(), g)
    if to_left is not None and row:
        to_left = to_left[..., 0, :]
    if to_right is not None and column:
        to_right = to_right[..., 0]
    return to_left, to_right


@primitive
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x @ weight.T + bias, along the last dim of x."""
    _same_dtype("linear", x, weight)
    if x.shape[-1:] != weight.shape[-1:]:
        raise ShapeError(
            f"linear: {x.shape} by a weight of {weight.shape}: the last sizes differ; expected "
            f"{weight.shape[-1]} features in, met {x.shape[-1] if x.ndim else 'a number'}"
        )
    out = np.asarray(np.matmul(_flat(x), weight.T)).reshape(*x.shape[:-1], *weight.shape[:-1])
    if bias is not None:
        out += bias
    return out


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1]) if x.ndim > 2 else x


@linear.gradient
def _(
    g: Array, _out: None, x: Array, weight: Array, _bias: None = None, *, needs: tuple[bool, ...], shapes: Any
) -> tuple[Array | None, ...]:
    to_x = np.matmul(g, weight) if needs[0] and weight.ndim > 1 else g[..., None] * weight if needs[0] else None
    rows = g.reshape(-1, g.shape[-1]) if weight.ndim > 1 else g.reshape(-1, 1)
    to_weight = np.matmul(rows.T, x.reshape(-1, x.shape[-1])).reshape(weight.shape) if needs[1] else None
    if len(needs) == 2:
        return to_x, to_weight
    return to_x, to_weight, (rows.sum(axis=0).reshape(shapes[2]) if needs[2] else None)


@primitive
def einsum(*operands: Array, equation: str) -> Array:
    """Products summed over the labels that the result lacks, as Einstein wrote them."""
    inputs, output = labels_of(equation, operands)
    arrays, labels = list(operands), list(inputs)
    while len(arrays) > 1:  # in the order given; each pair is one matrix product
        first, second = labels[0], labels[1]
        later = set(output).union(*labels[2:])
        kept = "".join(sorted((set(first) | set(second)) & later))
        arrays[:2] = [_contract(arrays[0], first, arrays[1], second, kept)]
        labels[:2] = [kept]
    return np.asarray(np.einsum(f"{labels[0]}->{output}", arrays[0])).copy()


def labels_of(equation: str, operands: tuple[Array, ...]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, "..." written out and the result filled in."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise ShapeError(f"einsum: {equation!r} has {len(inputs)} operands; met {len(operands)}")
    free = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in equation]
    rest = [o.ndim - len(i.replace("...", "")) for i, o in zip(inputs, operands, strict=True)]
    shared = "".join(free[: max(rest)]) if "..." in left else ""
    filled = []
    for labels, more, operand in zip(inputs, rest, operands, strict=True):
        labels = labels.replace("...", shared[len(shared) - more :] if more > 0 else "")
        if len(labels) != operand.ndim:
            raise ShapeError(f"einsum: {equation!r}: {labels!r} names {len(labels)} dims of {operand.shape}")
        filled.append(labels)
    if not arrow:
        output = shared + "".join(sorted(c for c in set(left) - set(".,") if left.count(c) == 1))
    output = output.replace("...", shared)
    _check_sizes(equation, filled, operands)
    return filled, output


def _check_sizes(equation: str, inputs: list[str], operands: tuple[Array, ...]) -> None:
    sizes: dict[str, int] = {}
    for labels, operand in zip(inputs, operands, strict=True):
        for label, size in zip(labels, operand.shape, strict=True):
            if sizes.setdefault(label, size) != size and 1 not in (size, sizes[label]):
                raise ShapeError(f"einsum: {equation!r}: label {label!r} has sizes {sizes[label]} and {size}")
            sizes[label] = max(size, sizes[label])


def _contract(a: Array, first: str, b: Array, second: str, kept: str) -> Array:
    """Two operands multiplied and summed over what is not kept, as one batched matrix product."""
    a, first = _alone(a, first, second + kept)
    b, second = _alone(b, second, first + kept)
    batch = [c for c in first if c in second and c in kept]
    summed = [c for c in first if c in second and c not in kept]
    rows = [c for c in first if c not in second]
    columns = [c for c in second if c not in first]
    sizes = {c: max(n, m) for c, n, m in _sizes(a, first, b, second)}
    left = _arranged(a, first, batch, rows, summed, sizes)
    right = _arranged(b, second, batch, summed, columns, sizes)
    product: Array = np.matmul(left, right).reshape([sizes[c] for c in (*batch, *rows, *columns)])
    return product.transpose([(*batch, *rows, *columns).index(c) for c in kept])


def _alone(a: Array, labels: str, wanted: str) -> tuple[Array, str]:
    """Diagonals taken where a label stands twice, and labels summed that nobody else wants."""
    left = "".join(dict.fromkeys(c for c in labels if c in wanted))
    return (a, labels) if left == labels else (np.einsum(f"{labels}->{left}", a), left)


def _sizes(a: Array, first: str, b: Array, second: str) -> list[tuple[str, int, int]]:
    of_a, of_b = dict(zip(first, a.shape, strict=True)), dict(zip(second, b.shape, strict=True))
    return [(c, of_a.get(c, 1), of_b.get(c, 1)) for c in {**of_a, **of_b}]


def _arranged(
    a: Array, labels: str, batch: list[str], rows: list[str], columns: list[str], sizes: dict[str, int]
) -> Array:
    """An operand as (batch, rows, columns)."""
    order = (*batch, *rows, *columns)
    a = np.broadcast_to(a.transpose([labels.index(c) for c in order]), [sizes[c] for c in order])
    counts = (math.prod(sizes[c] for c in part) for part in (batch, rows, columns))
    return a.reshape(tuple(counts))


@einsum.gradient
def _(g: Array, _out: None, *operands: Array, equation: str, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
    inputs, output = labels_of(equation, operands)
    return tuple(_share(g, output, operands, inputs, n) if needed else None for n, needed in enumerate(needs))


def _share(g: Array, output: str, operands: tuple[Array, ...], inputs: list[str], n: int) -> Array:
    """The gradient of one operand: the others and g, summed to its labels."""
    mine, shape = inputs[n], operands[n].shape
    others = [(o, i) for k, (o, i) in enumerate(zip(operands, inputs, strict=True)) if k != n]
    known = set(output).union(*(i for _, i in others))
    wanted = "".join(c for c in dict.fromkeys(mine) if c in known)
    terms = ",".join([output, *(i for _, i in others)])
    part = einsum.kernel(g, *(o.conj() for o, _ in others), equation=f"{terms}->{wanted}")
    whole = np.zeros(shape, part.dtype)
    if any(dict(zip(mine, shape, strict=True))[c] != n for c, n in zip(wanted, part.shape, strict=True)):
        stretched = [d for d, c in enumerate(wanted) if shape[mine.index(c)] == 1]
        part = part.sum(axis=tuple(stretched), keepdims=True)
    once = "".join(dict.fromkeys(mine))
    target = np.einsum(f"{mine}->{once}", whole)  # a view, of the diagonal where a label stands twice
    target[...] = part.reshape([part.shape[wanted.index(c)] if c in wanted else 1 for c in once])
    return whole
