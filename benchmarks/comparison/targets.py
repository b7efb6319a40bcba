"""The ratios of latency that the engine must reach, and those it aims at: to torch eager and to ONNX Runtime."""

from __future__ import annotations

from typing import NamedTuple

CLASSICS = ("resnet18", "vgg16", "densenet161", "inception_v3", "squeezenet1_0", "alexnet")
BATCH_ONE = ("encoder", "mlp")  # what has targets at batch 1 only
MAX_ERROR = 1e-4  # of the output's scale, against torch
READY = {("resnet18", 1): (2.0, 0.3)}  # seconds to be ready at most, the first time and with the choices of then


class Target(NamedTuple):
    """A ratio that must be reached, and one that is aimed at."""

    must: float
    aim: float


def _targets(musts: str, aims: str) -> dict[str, Target]:
    pairs = zip(map(float, musts.split()), map(float, aims.split()), strict=True)
    return dict(zip((*CLASSICS, *BATCH_ONE), (Target(*pair) for pair in pairs), strict=False))


ONE_THREAD = {
    ("numpy", "eager"): _targets("0.80 0.60 0.80 0.80 0.65 0.92 0.95 0.60", "0.62 0.48 0.68 0.65 0.48 0.80 0.75 0.45"),
    ("numpy", "ort"): _targets("1.20 0.70 1.25 1.35 1.50 1.20 1.00 1.15", "0.95 0.55 1.05 1.10 1.20 1.00 0.80 0.90"),
    ("native", "eager"): _targets("0.40 0.36 0.55 0.52 0.38 0.65 0.70 0.45", "0.32 0.28 0.44 0.40 0.28 0.55 0.55 0.30"),
    ("native", "ort"): _targets("0.60 0.42 0.85 0.88 0.88 0.85 0.90 0.90", "0.48 0.33 0.70 0.68 0.70 0.70 0.75 0.70"),
}
TWO_THREADS = ONE_THREAD | {
    ("numpy", "eager"): _targets("0.88 0.60 0.85 0.82 0.65 0.80", "0.62 0.48 0.68 0.65 0.48 0.80"),
    ("numpy", "ort"): _targets("1.40 0.70 1.40 1.40 1.90 1.40", "0.95 0.55 1.05 1.10 1.20 1.00"),
}


def target(ours: str, rival: str, model: str, batch: int, threads: int) -> Target | None:
    """What a ratio is held to, where it is held to anything."""
    if model in BATCH_ONE and batch != 1:
        return None
    return (ONE_THREAD if threads == 1 else TWO_THREADS).get((ours, rival), {}).get(model)
