"""Pools and means of images."""

from __future__ import annotations

from ...graph.plan import Step
from .structures import Kind, Mean, Pooling
from .work import Candidates, Shop, Work, address, array, pitch


def max_pool(step: Step, shop: Shop) -> Candidates:
    """The largest value of each window."""
    return {"direct": lambda: [_pool(step, Kind.MAX_POOL, step.attributes.get("dilation", (1, 1)), 0)]}


def average_pool(step: Step, shop: Shop) -> Candidates:
    """The mean of each window."""
    kernel = step.attributes["kernel"]
    divisor = step.attributes.get("divisor")
    if divisor is None:
        divisor = kernel[0] * kernel[1] if step.attributes.get("count_include_pad", False) else 0
    return {"direct": lambda: [_pool(step, Kind.AVERAGE_POOL, (1, 1), divisor)]}


def mean(step: Step, shop: Shop) -> Candidates:
    """The mean of each image."""
    x, y = array(step, 0), step.output
    n, h, w, c = x.shape
    arguments = Mean(address(x), address(y), pitch(x), pitch(y), h * w, c)
    return {"direct": lambda: [Work(Kind.MEAN, arguments, n, 0, (x, y))]}


def _pool(step: Step, kind: Kind, dilation: tuple[int, int], divisor: int) -> Work:
    x, y, how = array(step, 0), step.output, step.attributes
    (n, h, w, c), (_, oh, ow, _) = x.shape, y.shape
    top, left = how["padding"][:2]
    arguments = Pooling(
        address(x), address(y), pitch(x), pitch(y), n, h, w, oh, ow, c,
        *how["kernel"], *how["stride"], *dilation, top, left, divisor,
    )  # fmt: skip
    return Work(kind, arguments, n * oh, 0, (x, y))
