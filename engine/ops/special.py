"""Kernels of the functions that NumPy lacks: the error function, its complement and its inverse."""

from __future__ import annotations

import numpy as np

from ..dtype import Array
from ..errors import DtypeError

# W. J. Cody, Rational Chebyshev approximation for the error function, Math. Comp. 23 (1969); highest power first.
_NEAR_P = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3)  # fmt: skip  # noqa: E501
_NEAR_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_MID_P = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3)  # fmt: skip  # noqa: E501
_MID_Q = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3)  # fmt: skip  # noqa: E501
_FAR_P = (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4)  # fmt: skip  # noqa: E501
_FAR_Q = (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3)  # fmt: skip  # noqa: E501
# Our own fit of erf(x) / x as a quotient in x * x up to where float32 gives 1; its relative error is 2e-9.
_SHORT_P = (-1.296729983e-8, 4.640484967e-6, 3.779383947e-4, 3.843362089e-3, 5.427476682e-2, 0.1851687252, 1.128379169)
_SHORT_Q = (6.269297659e-5, 1.304062862e-3, 1.544370727e-2, 0.1139109016, 0.4974349193, 1.0)
_SHORT_END = 3.95
_BLOCK = 16384
_ROOT_PI = np.sqrt(np.pi)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += coefficient
    return total


def _wide(x: Array) -> Array:
    if x.dtype.kind == "c":
        raise DtypeError(f"the error functions are for real numbers; met {x.dtype}")
    return np.asarray(x, np.float64).ravel()


def _erf_near(x: Array) -> Array:
    """erf for |x| <= 0.46875."""
    square = x * x
    return x * _horner(_NEAR_P, square) / _horner(_NEAR_Q, square)


def _erfc_beyond(x: Array) -> Array:
    """erfc for x > 0.46875."""
    x = np.minimum(x, 30.0)  # it is 0 from there on
    middle = _horner(_MID_P, np.minimum(x, 4.0)) / _horner(_MID_Q, np.minimum(x, 4.0))
    z = 1 / (x * x)
    far = (1 / _ROOT_PI - z * _horner(_FAR_P, z) / _horner(_FAR_Q, z)) / x
    return np.asarray(np.exp(-x * x) * np.where(x <= 4, middle, far))


def erf(x: Array) -> Array:
    """The error function, to the last bits of the dtype."""
    return _erf_short(x) if x.dtype in (np.float32, np.float16) else _erf_long(x)


def _erf_short(x: Array) -> Array:
    """erf for the short dtypes: one quotient for all x, in blocks that stay in the cache."""
    flat = x.reshape(-1)
    out = np.empty_like(flat)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.float64)
        np.clip(block, -_SHORT_END, _SHORT_END, out=block)
        square = block * block
        block *= _horner(_SHORT_P, square)
        block /= _horner(_SHORT_Q, square)
        out[start : start + _BLOCK] = block
    return out.reshape(x.shape)


def _erf_long(x: Array) -> Array:
    wide = _wide(x)
    size = np.abs(wide)
    result = _erf_near(np.minimum(size, 0.46875))
    beyond = np.flatnonzero(size > 0.46875)
    result[beyond] = 1 - _erfc_beyond(size[beyond])
    result = np.where(np.isnan(wide), wide, np.copysign(result, wide))
    return result.astype(x.dtype).reshape(x.shape)


def erfc(x: Array) -> Array:
    """1 - erf(x), exact where that is small."""
    wide = _wide(x)
    size = np.abs(wide)
    result = 1 - _erf_near(np.clip(wide, -0.46875, 0.46875))
    beyond = np.flatnonzero(size > 0.46875)
    tail = _erfc_beyond(size[beyond])
    result[beyond] = np.where(wide[beyond] > 0, tail, 2 - tail)
    return np.where(np.isnan(wide), wide, result).astype(x.dtype).reshape(x.shape)


def erfinv(x: Array) -> Array:
    """The number whose error function is x, by Halley's method from Winitzki's estimate."""
    wide = _wide(x)
    size = np.abs(wide)
    inside = np.where(size < 1, size, 0.0)
    log = np.log1p(-inside * inside)
    half = 2 / (np.pi * 0.147) + log / 2
    root = np.sqrt(np.sqrt(half * half - log / 0.147) - half)
    for _ in range(3):
        step = ((1 - inside) - erfc(root)) / (2 / _ROOT_PI * np.exp(-root * root))
        root = root - step / (1 + root * step)
    result = np.where(size < 1, root, np.where(size == 1, np.inf, np.nan))
    return np.copysign(result, wide).astype(x.dtype).reshape(x.shape)
