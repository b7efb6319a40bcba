"""Elements arranged anew."""

import numpy as np
from numserve.engine.ops import PRIMITIVES

from .case import case, some

X, M = some(2, 3, 4), some(3, 4)


def _pad(x, widths, mode, t_widths):
    return case(
        x,
        widths=widths,
        mode=mode,
        reference=lambda x: np.pad(x, widths, {"replicate": "edge", "reflect": "reflect", "circular": "wrap"}[mode]),
        torch=lambda t, x: t.nn.functional.pad(x, t_widths, mode=mode),
    )


def _filled(x):
    out = np.zeros_like(x)
    out[:, 1] = 1
    return out.astype(bool)


ROWS = {
    "window": [
        case(
            X,
            dim=-1,
            size=2,
            step=2,
            reference=lambda x: np.stack([x[..., :2], x[..., 2:]], 2),
            torch=lambda t, x: x.unfold(-1, 2, 2),
        ),
        case(
            X,
            dim=1,
            size=2,
            step=1,
            reference=lambda x: np.stack([x[:, :2], x[:, 1:]], 1).swapaxes(2, 3),
            torch=lambda t, x: x.unfold(1, 2, 1),
        ),
    ],
    "place": [
        case(
            M,
            some(3),
            view=PRIMITIVES["getitem"],
            how={"index": (slice(None), 1)},
            reference=lambda x, p: np.where(_filled(x), p[:, None], x),
            torch=lambda t, x, p: t.select_scatter(x, p, 1, 1),
        ),
        case(
            M,
            some(4, 3),
            view=PRIMITIVES["permute"],
            how={"dims": (1, 0)},
            reference=lambda x, p: p.T,
            torch=lambda t, x, p: p.T + 0 * x,
        ),
    ],
    "overwrite": [
        case(M, some(4), reference=lambda x, v: np.stack([v] * 3), torch=lambda t, x, v: v.expand(3, 4) + 0 * x)
    ],
    "reshape": [
        case(
            X, shape=(4, -1), reference=lambda x: np.array(x.ravel()).reshape(4, 6), torch=lambda t, x: x.reshape(4, -1)
        ),
        case(some(1), shape=(), reference=lambda x: x[0], torch=lambda t, x: x.reshape(())),
    ],
    "permute": [
        case(X, dims=(2, 0, 1), reference=lambda x: np.moveaxis(x, 2, 0), torch=lambda t, x: x.permute(2, 0, 1)),
        case(X, dims=(-1, 1, 0), reference=lambda x: np.swapaxes(x, 0, 2), torch=lambda t, x: x.permute(-1, 1, 0)),
    ],
    "expand": [
        case(
            some(3, 1),
            shape=(2, -1, 4),
            reference=lambda x: np.stack([np.concatenate([x] * 4, 1)] * 2),
            torch=lambda t, x: x.expand(2, -1, 4),
        ),
    ],
    "cat": [
        case(
            X,
            some(2, 1, 4),
            dim=1,
            reference=lambda a, b: np.concatenate([a, b], 1),
            torch=lambda t, a, b: t.cat([a, b], 1),
        ),
        case(
            M,
            np.zeros(0),
            some(1, 4),
            dim=0,
            reference=lambda a, _, b: np.concatenate([a, b]),
            torch=lambda t, *p: t.cat(p),
        ),
        case(
            some(2),
            np.array([1, 2]),
            dim=-1,
            reference=lambda a, b: np.array([*a, 1.0, 2.0]),
            torch=lambda t, *p: t.cat(p),
        ),
    ],
    "stack": [
        case(
            M,
            some(3, 4),
            dim=d,
            reference=lambda a, b, d=d: np.stack([a, b], d),
            torch=lambda t, a, b, d=d: t.stack([a, b], d),
        )
        for d in (0, -1)
    ],
    "flip": [case(X, dims=(0, 2), reference=lambda x: x[::-1, :, ::-1], torch=lambda t, x: x.flip(0, 2))],
    "roll": [
        case(
            X,
            shifts=(1, -1),
            dims=(0, 2),
            reference=lambda x: np.concatenate([x[1:], x[:1]])[..., [1, 2, 3, 0]],
            torch=lambda t, x: x.roll((1, -1), (0, 2)),
        ),
        case(
            M,
            shifts=(2,),
            reference=lambda x: np.array([*x.ravel()[-2:], *x.ravel()[:-2]]).reshape(3, 4),
            torch=lambda t, x: x.roll(2),
        ),
    ],
    "repeat": [
        case(
            M,
            repeats=(2, 1, 3),
            reference=lambda x: np.stack([np.concatenate([x] * 3, 1)] * 2),
            torch=lambda t, x: x.repeat(2, 1, 3),
        )
    ],
    "pad": [
        case(
            M,
            widths=((1, 0), (0, 2)),
            value=5.0,
            reference=lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=5.0),
            torch=lambda t, x: t.nn.functional.pad(x, (0, 2, 1, 0), value=5.0),
        ),
        case(
            M,
            widths=((0, 0), (-1, 1)),
            reference=lambda x: np.pad(x[:, 1:], ((0, 0), (0, 1))),
            torch=lambda t, x: t.nn.functional.pad(x, (-1, 1)),
        ),
        _pad(X, ((0, 0), (0, 0), (2, 1)), "reflect", (2, 1)),
        _pad(X, ((0, 0), (0, 0), (2, 1)), "replicate", (2, 1)),
        _pad(X, ((0, 0), (0, 0), (2, 1)), "circular", (2, 1)),
        _pad(some(1, 2, 3, 4), ((0, 0), (0, 0), (1, 2), (2, 1)), "reflect", (2, 1, 1, 2)),
    ],
    "tril": [
        case(
            X,
            diagonal=d,
            reference=lambda x, d=d: x * (np.arange(4) <= np.arange(3)[:, None] + d),
            torch=lambda t, x, d=d: x.tril(d),
        )
        for d in (0, -1)
    ],
    "triu": [
        case(
            X,
            diagonal=d,
            reference=lambda x, d=d: x * (np.arange(4) >= np.arange(3)[:, None] + d),
            torch=lambda t, x, d=d: x.triu(d),
        )
        for d in (0, 1)
    ],
    "diagonal": [
        case(M, reference=lambda x: np.array([x[0, 0], x[1, 1], x[2, 2]]), torch=lambda t, x: x.diagonal()),
        case(
            X,
            offset=1,
            dim1=1,
            dim2=2,
            reference=lambda x: np.stack([x[:, 0, 1], x[:, 1, 2], x[:, 2, 3]], 1),
            torch=lambda t, x: x.diagonal(1, 1, 2),
        ),
    ],
}
