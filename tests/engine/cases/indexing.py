"""Picking and placing."""

import numpy as np

from .case import case, some

X, M = some(2, 3, 4), some(3, 4)
AT, TWICE = np.array([2, 0]), np.array([[1, -1], [0, 1]])
ALONG = np.array([[0, 2, 1], [2, 2, 0]])
MASK = np.array([[True, False, True, False], [False] * 4, [False, True, True, True]])


def _scattered(x, index, value, add=False):
    """scatter along dim 0, written out."""
    out = x.copy()
    for i, j in np.ndindex(index.shape):
        new = value if np.ndim(value) == 0 else value[i, j]
        out[index[i, j], j] = out[index[i, j], j] + new if add else new
    return out


def _replaced(x, key, value):
    out = x.copy()
    out[key] = value
    return out


def _t_replaced(x, key, value):
    out = x.clone()
    out[key] = value
    return out


IDS, STARTS = np.array([0, 2, 1, 1, 0, 2]), np.array([0, 2, 2, 4, 6])


def _bagged(weight, index, offsets, mode, padding, factors=None):
    out = np.zeros((len(offsets), weight.shape[1]))
    for bag, (start, stop) in enumerate(zip(offsets, [*offsets[1:], len(index)], strict=True)):
        places = [n for n in range(start, stop) if index[n] != padding]
        rows = [weight[index[n]] * (1 if factors is None else factors[n]) for n in places]
        if rows:
            out[bag] = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode](rows, axis=0)
    return out


ROWS = {
    "getitem": [
        case(
            X,
            index=(1, slice(None, None, 2)),
            reference=lambda x: np.stack([x[1, 0], x[1, 2]]),
            torch=lambda t, x: x[1, ::2],
        ),
        case(
            X,
            index=(slice(None), None, -1),
            reference=lambda x: x[:, 2].reshape(2, 1, 4),
            torch=lambda t, x: x[:, None, -1],
        ),
        case(X, index=(0, 1, 2), reference=lambda x: np.array(x.tolist()[0][1][2]), torch=lambda t, x: x[0, 1, 2]),
    ],
    "setitem": [
        case(
            X,
            some(4),
            index=(1, slice(0, 2)),
            reference=lambda x, v: np.stack([x[0], np.stack([v, v, x[1, 2]])]),
            torch=lambda t, x, v: _t_replaced(x, (1, slice(0, 2)), v),
        ),
        case(
            M,
            7.0,
            index=(slice(1, 2),),
            reference=lambda x, v: np.stack([x[0], np.full(4, 7.0), x[2]]),
            torch=lambda t, x, v: _t_replaced(x, slice(1, 2), v),
        ),
    ],
    "index": [
        case(M, AT, dims=(0,), reference=lambda x, i: np.stack([x[2], x[0]]), torch=lambda t, x, i: x[i]),
        case(
            X,
            TWICE,
            dims=(2,),
            reference=lambda x, i: np.take(x, [[1, 3], [0, 1]], axis=2),
            torch=lambda t, x, i: x[:, :, i],
        ),
        case(
            X,
            np.array([0, 1]),
            TWICE,
            dims=(0, 2),
            reference=lambda x, i, j: x[np.array([0, 1]), :, TWICE],
            torch=lambda t, x, i, j: x[i, :, j],
        ),
        case(
            M,
            np.array([0, 0, 2]),
            np.array([1, 1, 3]),
            dims=(0, 1),
            reference=lambda x, i, j: np.array([x[0, 1], x[0, 1], x[2, 3]]),
            torch=lambda t, x, i, j: x[i, j],
        ),
    ],
    "index_put": [
        case(
            M,
            some(4),
            AT,
            dims=(0,),
            reference=lambda x, v, i: np.stack([v, x[1], v]),
            torch=lambda t, x, v, i: x.index_put((i,), v),
        ),
        case(
            M,
            some(3),
            np.array([0, 0, 2]),
            np.array([1, 1, 3]),
            dims=(0, 1),
            accumulate=True,
            reference=lambda x, v, i, j: x + np.array([[0, v[0] + v[1], 0, 0], [0] * 4, [0, 0, 0, v[2]]]),
            torch=lambda t, x, v, i, j: x.index_put((i, j), v, accumulate=True),
        ),
    ],
    "gather": [
        case(
            M,
            ALONG,
            dim=0,
            reference=lambda x, i: np.array([[x[i[r, c], c] for c in range(3)] for r in range(2)]),
            torch=lambda t, x, i: x.gather(0, i),
        ),
        case(
            M,
            ALONG,
            dim=-1,
            reference=lambda x, i: np.array([[x[r, i[r, c]] for c in range(3)] for r in range(2)]),
            torch=lambda t, x, i: x.gather(-1, i),
        ),
    ],
    "scatter": [
        case(
            M,
            np.array([[0, 2, 1], [2, 1, 0]]),
            some(2, 3),
            dim=0,
            reference=_scattered,
            torch=lambda t, x, i, v: x.scatter(0, i, v),
        ),
        case(M, np.array([[0, 2, 1], [2, 1, 0]]), some(2, 4), dim=0, reference=_scattered),
        case(M, ALONG, 5.0, dim=0, reference=_scattered, torch=lambda t, x, i, v: x.scatter(0, i, v)),
    ],
    "scatter_add": [
        case(
            M,
            ALONG,
            some(2, 3),
            dim=0,
            reference=lambda *a: _scattered(*a, add=True),
            torch=lambda t, x, i, v: x.scatter_add(0, i, v),
        ),
        case(M, ALONG, some(2, 4), dim=0, reference=lambda *a: _scattered(*a, add=True)),
    ],
    "embedding": [
        case(
            M,
            np.array([[0, 2], [2, 1]]),
            reference=lambda w, i: np.stack([w[[0, 2]], w[[2, 1]]]),
            torch=lambda t, w, i: t.nn.functional.embedding(i, w),
        ),
        case(
            M,
            np.array([0, 2, 2]),
            padding_idx=2,
            smooth=False,
            reference=lambda w, i: np.stack([w[0], w[2], w[2]]),
            torch=lambda t, w, i: t.nn.functional.embedding(i, w, padding_idx=2),
        ),
    ],
    "embedding_bag": [
        *(
            case(
                M,
                IDS,
                STARTS,
                mode=mode,
                padding_idx=padding,
                reference=lambda w, i, o, mode=mode, padding=padding: _bagged(w, i, o, mode, padding),
                torch=lambda t, w, i, o, mode=mode, padding=padding: t.nn.functional.embedding_bag(
                    i, w, o, mode=mode, padding_idx=padding
                ),
            )
            for mode in ("sum", "mean", "max")
            for padding in (None, 1)
        ),
        case(
            M,
            IDS.reshape(3, 2),
            reference=lambda w, i: w[i].mean(1),
            torch=lambda t, w, i: t.nn.functional.embedding_bag(i, w),
        ),
        case(
            M,
            IDS,
            STARTS,
            some(6),
            mode="sum",
            reference=lambda w, i, o, f: _bagged(w, i, o, "sum", None, f),
            torch=lambda t, w, i, o, f: t.nn.functional.embedding_bag(i, w, o, mode="sum", per_sample_weights=f),
        ),
    ],
    "nonzero": [
        case(
            MASK,
            reference=lambda m: np.array([[r, c] for r in range(3) for c in range(4) if m[r, c]]),
            torch=lambda t, m: m.nonzero(),
        )
    ],
}
