"""Products of matrices."""

from __future__ import annotations

from ..calls import Call
from ..elements import ELEMENTS
from ..items import Item
from .convolution import centred
from .elementwise import placed
from .table import operator


@operator("MatMul")
def matmul(at: Call, a: Item, b: Item) -> Item:
    """The product of matrices; of whole numbers too."""
    if a.array.dtype.kind in "iu":
        return at.cast(at("matmul", at.cast(a, ELEMENTS[11]), at.cast(b, ELEMENTS[11])), a.element)
    return at("matmul", a, b)


@operator("Gemm")
def gemm(at: Call, a: Item, b: Item, c: Item | None = None) -> Item:
    """alpha * a @ b + beta * c, either turned over first."""
    alpha, beta = at.number("alpha", 1.0), at.number("beta", 1.0)
    if not a.floating:
        return _whole_gemm(at, a, b, c, alpha, beta)
    if at.flag("transA"):
        a = at("permute", a, dims=(1, 0))
    plain = alpha == 1 and beta == 1 and (c is None or c.shape == (b.shape[0 if at.flag("transB") else 1],))
    if plain:
        return at("linear", a, b if at.flag("transB") else at("permute", b, dims=(1, 0)), c)
    product = at("linear", a, b if at.flag("transB") else at("permute", b, dims=(1, 0)))
    product = product if alpha == 1 else at("mul", product, alpha)
    if c is None or not beta:
        return product
    return at("add", product, placed(at, product, c if beta == 1 else at("mul", c, beta)))


def _whole_gemm(at: Call, a: Item, b: Item, c: Item | None, alpha: float, beta: float) -> Item:
    left, right = (at.cast(i, ELEMENTS[11]) for i in (a, b))
    left = at("permute", left, dims=(1, 0)) if at.flag("transA") else left
    right = at("permute", right, dims=(1, 0)) if at.flag("transB") else right
    product = at("mul", at("matmul", left, right), alpha)
    if c is not None:
        product = at("add", product, at("mul", at.cast(c, ELEMENTS[11]), beta))
    return at.cast(product, a.element)


@operator("MatMulInteger")
def matmul_integer(at: Call, a: Item, b: Item, a_zero: Item | None = None, b_zero: Item | None = None) -> Item:
    """The product of whole numbers less their zero points."""
    left, right = centred(at, a, a_zero, a.ndim - 2), centred(at, b, b_zero, b.ndim - 1)
    return at.cast(at("matmul", left, right), ELEMENTS[6])


@operator("Einsum")
def einsum(at: Call, *operands: Item) -> Item:
    """Products summed over the labels that the result lacks."""
    return at("einsum", *operands, equation=at.text("equation"))
