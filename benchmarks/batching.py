"""Adaptive batches against fixed ones: requests a second and latency, one server, in turns.

    python benchmarks/batching.py [--models mlp resnet18 wait] [--clients 1 8 64] [--seconds 1.5] [--rounds 3]

mlp is 784-128-10, resnet18 takes a picture as 602 kB of float32, both by the default handler `tensor`, one worker each.
wait sleeps for 20 ms a batch and 0.2 ms a request, as a device elsewhere would. `alone` is batchSize 1, `fixed N` waits
for a full batch for up to 5 ms (fixedDelay), `N at once` takes what is there. Best of the rounds; the last column is a
row's rate over that of the best fixed setting.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numserve.server.bench import Point
from numserve.server.bench.report import machine
from numserve.server.bench.table import milliseconds
from served import archive, measure, serving

MLP = """
from numserve.engine import nn

class Mlp(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
"""
RESNET = """
from numserve.engine.models.resnet import BasicBlock, ResNet

class Resnet18(ResNet):
    def __init__(self):
        super().__init__(BasicBlock, [2, 2, 2, 2])
"""
WAIT = """
import time

def handle(rows, context):
    time.sleep(0.02 + 0.0002 * len(rows or []))
    return rows and [b"done"] * len(rows)
"""
FIXED = "batchSize: {}\nmaxBatchDelay: 5\n"
VARIANTS = {"adaptive": "", "alone": "batchSize: 1\n"}
VARIANTS |= {f"fixed {size}": FIXED.format(size) + "fixedDelay: true\n" for size in (8, 32, 64)}
VARIANTS |= {f"{size} at once": FIXED.format(size) for size in (8, 64)}


class Served(NamedTuple):
    """A model: its file, its handler, the shape of a request's tensor, its YAML, and how that asks for batches."""

    source: str
    handler: str
    shape: tuple[int, ...]
    yaml: str
    asks: str = ""


MODELS = {
    "mlp": Served(MLP, "tensor", (1, 784), "engine: {inputs: [[1, 784]]}\n"),
    "resnet18": Served(RESNET, "tensor", (1, 3, 224, 224), "engine: {inputs: [[1, 3, 224, 224]]}\n"),
    "wait": Served(WAIT, "wait.py", (1,), "", "batching: adaptive\n"),
}


def pack(work: Path, store: Path, model: str) -> None:
    """An archive for each variant of a model."""
    served = MODELS[model]
    source = work / f"{model}.py"
    source.write_text(served.source)
    for number, yaml in enumerate(VARIANTS.values()):
        config = work / f"{model}-{number}.yaml"
        config.write_text(served.yaml + (yaml or served.asks))
        file = ("--model-file", source) if served.handler == "tensor" else ()
        handler = served.handler if file else source
        archive(store, f"{model}-{number}", *file, "--handler", handler, "--config-file", config)


def request(name: str, shape: tuple[int, ...]) -> bytes:
    """A prediction's request, the tensor as raw bytes."""
    body = np.random.default_rng(0).normal(size=shape).astype(np.float32).tobytes()
    head = f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: localhost\r\nInference-Header-Content-Length: 0\r\n"
    return f"{head}Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def compare(address: str, model: str, clients: int, rounds: int, seconds: float) -> list[str]:
    """A line for each variant."""
    found: dict[str, list[Point]] = {variant: [] for variant in VARIANTS}
    for turn in range(rounds):
        for number, variant in enumerate(VARIANTS):
            asked = request(f"{model}-{number}", MODELS[model].shape)
            point = await measure(address, asked, clients, seconds, warmup=0 if turn else seconds)
            assert not point.errors, point.errors
            found[variant].append(point)
    rates = {variant: max(point.throughput for point in points) for variant, points in found.items()}
    best = max(rate for variant, rate in rates.items() if variant != "adaptive")
    return [
        f"| {model} | {clients} | {variant} | {rates[variant]:.0f} | {least(points, 'p50')} | {least(points, 'p99')} | "
        f"{rates[variant] / best:.2f} |"
        for variant, points in found.items()
    ]


def least(points: list[Point], share: str) -> str:
    """The least of the rounds, in milliseconds."""
    return milliseconds(min(point.latency[share] or 0 for point in points))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{machine()['cpu']}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| model | clients | batches | requests/s | p50 ms | p99 ms | of best |\n|---|---|---|---|---|---|---|")
    for model in given.models:
        with tempfile.TemporaryDirectory() as folder:
            work, store = Path(folder), Path(folder) / "store"
            store.mkdir()
            pack(work, store, model)
            with serving(work, store) as addresses:
                for clients in given.clients:
                    lines = compare(addresses["inference"], model, clients, given.rounds, given.seconds)
                    print("\n".join(asyncio.run(lines)), flush=True)


if __name__ == "__main__":
    main()
