"""Folds over dims, softmax, running sums."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numserve.engine.dtype import float64

from .case import Case, case, some

X = some(2, 3, 4)
WHOLE = np.array([[3, -1, 2], [0, 5, 5]])
ZEROS = np.array([[1.5, 0.0, 2.0], [0.0, 3.0, 0.0], [1.0, 2.0, -1.0]])
DIMS: list[dict[str, Any]] = [{}, {"dim": 1}, {"dim": (0, -1), "keepdim": True}, {"dim": -2, "keepdim": True}]


def _rows(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> tuple[np.ndarray, tuple[int, ...]]:
    """The reduced elements as rows of a matrix, and the shape of the result."""
    dims = tuple(range(x.ndim)) if dim is None else tuple(d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim))
    rest = [d for d in range(x.ndim) if d not in dims]
    shape = tuple((1 if keepdim else None) if d in dims else x.shape[d] for d in range(x.ndim))
    rows = x.transpose(*rest, *dims).reshape(math.prod(x.shape[d] for d in rest), -1)
    return rows, tuple(n for n in shape if n is not None)


def folds(
    function: Callable[[list[float]], float], torch: Callable[..., Any], *inputs: np.ndarray, **more: Any
) -> list[Case]:
    """Cases over several choices of dims, against a function of a list of numbers."""

    def one(x: np.ndarray, how: dict[str, Any]) -> Case:
        def reference(x: np.ndarray) -> np.ndarray:
            rows, shape = _rows(x, **how)
            return np.array([function(row.tolist()) for row in rows]).reshape(shape)

        named = dict(how) if how.get("dim") is not None else {"dim": tuple(range(x.ndim))}
        return case(x, **how, **more, reference=reference, torch=lambda t, x: torch(t, x, **named))

    return [one(x, how) for x in inputs or (X,) for how in (DIMS if x.ndim > 2 else DIMS[:2])]


def _mean(row: list[float]) -> float:
    return math.fsum(row) / len(row)


def _var(row: list[float]) -> float:
    return math.fsum((v - _mean(row)) ** 2 for v in row) / (len(row) - 1)


def _best(function: Callable[..., Any], name: str) -> list[Case]:
    def best(x: np.ndarray, dim: int, keepdim: bool = False) -> tuple[np.ndarray, np.ndarray]:
        rows, shape = _rows(x, dim, keepdim)
        picks = [function(row) for row in rows.tolist()]
        return np.array(picks).reshape(shape), np.array(
            [row.index(p) for row, p in zip(rows.tolist(), picks, strict=True)]
        ).reshape(shape)

    return [
        case(
            x,
            **how,
            reference=lambda x, how=how: best(x, **how),
            torch=lambda t, x, how=how: getattr(t, name)(x, **how),
        )
        for x in (X, WHOLE)
        for how in ({"dim": 1}, {"dim": -1, "keepdim": True})
    ]


def _softmax(x: np.ndarray, dim: int) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=dim, keepdims=True)


ROWS = {
    "sum": [
        *folds(math.fsum, lambda t, x, **d: x.sum(**d), X),
        case(WHOLE, dim=0, reference=lambda x: x[0] + x[1], torch=lambda t, x: x.sum(0)),
        case(WHOLE, dtype=float64, reference=lambda x: np.float64(14), torch=lambda t, x: x.sum(dtype=t.float64)),
    ],
    "mean": [
        *folds(_mean, lambda t, x, **d: x.mean(**d)),
        case(WHOLE, dtype=float64, reference=lambda x: np.float64(14 / 6), torch=lambda t, x: x.mean(dtype=t.float64)),
    ],
    "prod": [
        case(X, reference=lambda x: np.array(math.prod(x.ravel().tolist())), torch=lambda t, x: x.prod()),
        case(
            ZEROS, dim=1, reference=lambda x: np.array([math.prod(r) for r in x.tolist()]), torch=lambda t, x: x.prod(1)
        ),
        case(
            X,
            dim=-1,
            keepdim=True,
            reference=lambda x: np.array([[[math.prod(r)] for r in m] for m in x.tolist()]),
            torch=lambda t, x: x.prod(-1, keepdim=True),
        ),
        case(WHOLE, dim=0, reference=lambda x: x[0] * x[1], torch=lambda t, x: x.prod(0)),
    ],
    "amax": folds(max, lambda t, x, **d: x.amax(**d)),
    "amin": folds(min, lambda t, x, **d: x.amin(**d)),
    "argmax": [
        case(X, reference=lambda x: np.array(x.ravel().tolist().index(x.max())), torch=lambda t, x: x.argmax()),
        case(WHOLE, dim=1, reference=lambda x: np.array([0, 1]), torch=lambda t, x: x.argmax(1)),
        case(
            X,
            dim=0,
            keepdim=True,
            reference=lambda x: np.where(x[1] > x[0], 1, 0)[None],
            torch=lambda t, x: x.argmax(0, keepdim=True),
        ),
    ],
    "argmin": [
        case(X, reference=lambda x: np.array(x.ravel().tolist().index(x.min())), torch=lambda t, x: x.argmin()),
        case(WHOLE, dim=1, reference=lambda x: np.array([1, 0]), torch=lambda t, x: x.argmin(1)),
    ],
    "max_dim": _best(max, "max"),
    "min_dim": _best(min, "min"),
    "any": folds(any, lambda t, x, **d: x.any(**d), WHOLE),
    "all": folds(all, lambda t, x, **d: x.all(**d), WHOLE),
    "var": [
        *folds(_var, lambda t, x, **d: x.var(**d)),
        case(
            X,
            dim=1,
            correction=0,
            reference=lambda x: np.mean((x - x.mean(1, keepdims=True)) ** 2, axis=1),
            torch=lambda t, x: x.var(1, correction=0),
        ),
    ],
    "std": folds(lambda row: math.sqrt(_var(row)), lambda t, x, **d: x.std(**d)),
    "norm": [
        *folds(lambda row: math.hypot(*row), lambda t, x, **d: t.linalg.vector_norm(x, 2, **d)),
        *folds(lambda row: sum(abs(v) for v in row), lambda t, x, **d: t.linalg.vector_norm(x, 1, **d), p=1),
        *folds(
            lambda row: sum(abs(v) ** 3 for v in row) ** (1 / 3), lambda t, x, **d: t.linalg.vector_norm(x, 3, **d), p=3
        ),
        *folds(lambda row: max(map(abs, row)), lambda t, x, **d: t.linalg.vector_norm(x, math.inf, **d), p=math.inf),
        *folds(lambda row: min(map(abs, row)), lambda t, x, **d: t.linalg.vector_norm(x, -math.inf, **d), p=-math.inf),
        *folds(lambda row: float(sum(v != 0 for v in row)), lambda t, x, **d: t.linalg.vector_norm(x, 0, **d), p=0),
        case(np.zeros(3), smooth=False, reference=lambda x: np.array(0.0), torch=lambda t, x: t.linalg.vector_norm(x)),
    ],
    "logsumexp": folds(lambda row: math.log(sum(map(math.exp, row))), lambda t, x, **d: t.logsumexp(x, **d))[1:],
    "softmax": [
        *(
            case(X, dim=d, reference=lambda x, d=d: _softmax(x, d), torch=lambda t, x, d=d: t.softmax(x, d))
            for d in (0, -1)
        ),
        case(
            np.array([[-np.inf, 1.0], [-np.inf, -np.inf]]),
            dim=1,
            smooth=False,
            reference=lambda x: np.array([[0, 1], [np.nan, np.nan]]),
            torch=lambda t, x: t.softmax(x, 1),
        ),
        case(
            np.array([1000.0, 1000.0]),
            dim=0,
            smooth=False,
            reference=lambda x: np.array([0.5, 0.5]),
            torch=lambda t, x: t.softmax(x, 0),
        ),
    ],
    "log_softmax": [
        case(X, dim=d, reference=lambda x, d=d: np.log(_softmax(x, d)), torch=lambda t, x, d=d: t.log_softmax(x, d))
        for d in (0, -1)
    ],
    "cumsum": [
        case(
            X,
            dim=1,
            reference=lambda x: np.stack([x[:, : n + 1].sum(1) for n in range(3)], 1),
            torch=lambda t, x: x.cumsum(1),
        ),
        case(WHOLE, dim=0, reference=lambda x: np.stack([x[0], x[0] + x[1]]), torch=lambda t, x: x.cumsum(0)),
    ],
    "cumprod": [
        case(
            X,
            dim=-1,
            reference=lambda x: np.stack([x[..., : n + 1].prod(-1) for n in range(4)], -1),
            torch=lambda t, x: x.cumprod(-1),
        ),
        case(
            ZEROS,
            dim=1,
            reference=lambda x: np.stack([x[:, : n + 1].prod(1) for n in range(3)], 1),
            torch=lambda t, x: x.cumprod(1),
        ),
    ],
}
