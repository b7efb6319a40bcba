"""Losses, element by element."""

import math

import numpy as np

from .case import case, each, some


def _functional(name, **options):
    return lambda t, *operands: getattr(t.nn.functional, name)(*operands, reduction="none", **options)


def _bce(x, t):
    return -(t * max(math.log(x), -100) + (1 - t) * max(math.log(1 - x), -100))


def _bce_with_logits(x, t, positive):
    chance = 1 / (1 + math.exp(-x))
    return -(positive * t * math.log(chance) + (1 - t) * math.log(1 - chance))


def _huber(delta):
    return lambda x, t: (x - t) ** 2 / 2 if abs(x - t) <= delta else delta * (abs(x - t) - delta / 2)


def _nll(x, target, weight, ignore_index=-100):
    out = np.zeros(target.shape)
    for place in np.ndindex(target.shape):
        at = target[place]
        if at != ignore_index:
            out[place] = -x[place[0], at, *place[1:]] * (1 if weight is None else weight[at])
    return out


CHANCES, TARGETS = some(3, 4, low=0.05, high=0.95), some(3, 4, low=0.02, high=0.98)

ROWS = {
    "mse_loss": [
        case(some(3, 4), some(3, 4), reference=each(lambda x, t: (x - t) ** 2), torch=_functional("mse_loss")),
    ],
    "l1_loss": [case(some(3, 4), some(3, 4), reference=each(lambda x, t: abs(x - t)), torch=_functional("l1_loss"))],
    "huber_loss": [
        case(some(3, 4), some(3, 4), delta=delta, reference=each(_huber(delta)),
             torch=_functional("huber_loss", delta=delta))
        for delta in (1.0, 0.3)
    ],
    "binary_cross_entropy": [
        case(CHANCES, TARGETS, reference=each(_bce), torch=_functional("binary_cross_entropy")),
        case(np.array([0.0, 1.0, 1.0], np.float32), np.array([1.0, 0.0, 1.0], np.float32),
             reference=lambda x, t: np.array([100.0, 100.0, 0.0])),
    ],
    "binary_cross_entropy_with_logits": [
        case(some(3, 4), TARGETS, some(4, low=0.5, high=2), reference=each(_bce_with_logits),
             torch=lambda t, x, y, p: -p * y * x.sigmoid().log() - (1 - y) * (-x).sigmoid().log()),
        case(np.array([-200.0, 200.0], np.float32), np.array([1.0, 1.0], np.float32), np.float32(1),
             reference=lambda x, t, p: np.array([200.0, 0.0])),
    ],
    "kl_div": [
        case(some(3, 4), TARGETS, reference=each(lambda x, t: t * (math.log(t) - x)), torch=_functional("kl_div")),
        case(some(3, 4), some(3, 4), log_target=True, reference=each(lambda x, t: math.exp(t) * (t - x)),
             torch=_functional("kl_div", log_target=True)),
        case(np.array([0.5], np.float32), np.array([0.0], np.float32), reference=lambda x, t: np.array([0.0])),
    ],
    "nll_loss": [
        case(some(4, 3), np.array([0, 2, 1, 2]), None, reference=_nll, torch=_functional("nll_loss")),
        case(some(2, 3, 2), np.array([[0, 2], [-100, 1]]), np.array([1.0, 2.0, 0.5], np.float32), reference=_nll),
        case(some(3, 3), np.array([0, 1, 2]), None, ignore_index=1, reference=lambda x, t, w: _nll(x, t, w, 1),
             torch=_functional("nll_loss", ignore_index=1)),
    ],
}  # fmt: skip
