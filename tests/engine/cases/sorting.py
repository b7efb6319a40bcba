"""Order and counting."""

import numpy as np

from .case import case, some

X, EQUAL = some(2, 5), np.array([[2.0, 1.0, 2.0, 1.0], [0.0, 0.0, 3.0, -1.0]])
NAN = np.array([1.0, np.nan, 3.0, 2.0])
WHOLE = np.array([3, 1, 3, 0, 1, 3])


def _sorted(rows, reverse=False):
    order = [sorted(range(len(r)), key=lambda i, r=r: r[i], reverse=reverse) for r in rows.tolist()]
    return np.take_along_axis(rows, np.array(order), 1), np.array(order)


def _first(k, reverse, rows):
    return tuple(part[:, :k] for part in _sorted(rows, reverse))


def _record(better):
    def reference(rows):
        best, at = [], []
        for row in rows.tolist():
            places = [max((i for i in range(n + 1)), key=lambda i, r=row: (better * r[i], i)) for n in range(len(row))]
            best.append([row[i] for i in places])
            at.append(places)
        return np.array(best), np.array(at)

    return reference


ROWS = {
    "sort": [
        case(X, reference=_sorted, torch=lambda t, x: t.sort(x, stable=True)),
        case(
            EQUAL,
            smooth=False,
            descending=True,
            reference=lambda x: (-np.sort(-x), np.argsort(-x, kind="stable")),
            torch=lambda t, x: t.sort(x, descending=True, stable=True),
        ),
        case(X, dim=0, reference=lambda x: (np.sort(x, 0), np.argsort(x, 0)), torch=lambda t, x: t.sort(x, 0)),
        case(
            NAN,
            descending=True,
            smooth=False,
            reference=lambda x: (np.array([np.nan, 3.0, 2.0, 1.0]), np.array([1, 2, 3, 0])),
            torch=lambda t, x: t.sort(x, descending=True),
        ),
    ],
    "topk": [
        case(X, k=2, reference=lambda x: _first(2, True, x), torch=lambda t, x: t.topk(x, 2)),
        case(
            X,
            k=3,
            largest=False,
            reference=lambda x: _first(3, False, x),
            torch=lambda t, x: t.topk(x, 3, largest=False),
        ),
        case(
            X, k=1, dim=0, reference=lambda x: (x.max(0)[None], x.argmax(0)[None]), torch=lambda t, x: t.topk(x, 1, 0)
        ),
    ],
    "kthvalue": [
        case(
            X,
            k=2,
            dim=1,
            reference=lambda x: tuple(p[:, 1] for p in _sorted(x)),
            torch=lambda t, x: t.kthvalue(x, 2, 1),
        ),
        case(
            X,
            k=4,
            keepdim=True,
            reference=lambda x: tuple(p[:, 3:4] for p in _sorted(x)),
            torch=lambda t, x: t.kthvalue(x, 4, keepdim=True),
        ),
    ],
    "median": [
        case(X, dim=1, reference=lambda x: tuple(p[:, 2] for p in _sorted(x)), torch=lambda t, x: t.median(x, 1)),
        case(NAN, smooth=False, reference=lambda x: (np.array(np.nan), np.array(1)), torch=lambda t, x: t.median(x, 0)),
    ],
    "cummax": [
        case(X, dim=1, reference=_record(1), torch=lambda t, x: t.cummax(x, 1)),
        case(EQUAL, dim=1, smooth=False, reference=_record(1), torch=lambda t, x: t.cummax(x, 1)),
    ],
    "cummin": [
        case(X, dim=1, reference=_record(-1), torch=lambda t, x: t.cummin(x, 1)),
        case(EQUAL, dim=1, smooth=False, reference=_record(-1), torch=lambda t, x: t.cummin(x, 1)),
    ],
    "unique": [
        case(
            WHOLE,
            reference=lambda x: (np.array([0, 1, 3]), np.array([2, 1, 2, 0, 1, 2]), np.array([1, 2, 3])),
            torch=lambda t, x: t.unique(x, return_inverse=True, return_counts=True),
        ),
        case(
            np.array([[1, 2], [0, 5], [1, 2]]),
            dim=0,
            reference=lambda x: (np.array([[0, 5], [1, 2]]), np.array([1, 0, 1]), np.array([1, 2])),
            torch=lambda t, x: t.unique(x, dim=0, return_inverse=True, return_counts=True),
        ),
    ],
    "searchsorted": [
        case(
            np.array([1.0, 3.0, 5.0]),
            np.array([[0.0, 3.0], [4.0, 6.0]]),
            reference=lambda o, v: np.array([[0, 1], [2, 3]]),
            torch=lambda t, o, v: t.searchsorted(o, v),
        ),
        case(
            np.array([[1, 3], [2, 4]]),
            np.array([[3], [3]]),
            right=True,
            reference=lambda o, v: np.array([[2], [1]]),
            torch=lambda t, o, v: t.searchsorted(o, v, right=True),
        ),
    ],
    "bincount": [
        case(
            WHOLE,
            minlength=6,
            reference=lambda x: np.array([1, 2, 0, 3, 0, 0]),
            torch=lambda t, x: t.bincount(x, minlength=6),
        ),
        case(
            WHOLE,
            np.arange(6.0),
            reference=lambda x, w: np.array([3.0, 5.0, 0.0, 7.0]),
            torch=lambda t, x, w: t.bincount(x, w.detach()),
        ),
    ],
    "histc": [
        case(
            np.array([1.0, 2.0, 2.5, 4.0]),
            bins=3,
            reference=lambda x: np.array([1.0, 2.0, 1.0]),
            torch=lambda t, x: t.histc(x.detach(), 3),
        )
    ],
    "one_hot": [
        case(
            np.array([[0, 2], [1, 1]]),
            num_classes=3,
            reference=lambda x: np.eye(3, dtype=int)[x],
            torch=lambda t, x: t.nn.functional.one_hot(x, 3),
        ),
        case(
            np.array([0, 2]),
            reference=lambda x: np.array([[1, 0, 0], [0, 0, 1]]),
            torch=lambda t, x: t.nn.functional.one_hot(x),
        ),
    ],
    "isin": [
        case(
            WHOLE,
            np.array([3, 9]),
            reference=lambda a, b: np.array([v in b.tolist() for v in a.tolist()]),
            torch=lambda t, a, b: t.isin(a, b),
        )
    ],
}
