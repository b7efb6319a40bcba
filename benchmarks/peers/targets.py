"""What numserve must reach beside the others in one run, and by itself."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import NamedTuple


class Target(NamedTuple):
    """Our figure over a peer's, or our figure itself where the peer is "": at least or at most so much."""

    figure: str
    """As `figures.py` names it."""
    peer: str
    kind: str
    must: float

    def met(self, value: float) -> bool:
        return KINDS[self.kind](value, self.must)


KINDS: dict[str, Callable[[float, float], bool]] = {"≥": operator.ge, "≤": operator.le}


def _over(figure: str, kind: str, **musts: float) -> list[Target]:
    return [Target(figure, peer, kind, must) for peer, must in musts.items()]


TARGETS = [
    *_over("echo: requests/s, c=64", "≥", litserve=8, mlserver=8, bentoml=20, ray=30, torchserve=3),
    *_over("mlp, JSON: requests/s, c=64", "≥", litserve=3.5, mlserver=4, bentoml=10, ray=12),
    *_over("resnet18: requests/s, c=1", "≥", torchserve=2),
    *_over("resnet18: requests/s, c=8", "≥", torchserve=2),
    *_over("echo: p50 ms, c=1", "≤", litserve=0.25, torchserve=0.3),
    *_over("echo: cold start s", "≤", litserve=0.4, torchserve=0.2),
    *_over("echo: idle PSS MB", "≤", litserve=0.6, torchserve=0.2),
    Target("echo: CPU µs of the front, c=64", "", "≤", 45),
    Target("kill -9: back after s", "", "≤", 0.3),
    Target("kill -9: errors", "", "≤", 1),
    Target("512 clients: goodput", "", "≥", 0.85),
    Target("512 clients: 503 after ms", "", "≤", 50),
    Target("512 clients gone: next answer after ms", "", "≤", 100),
]
