"""Requests a second and latency of three models through a server of its own on loopback.

    python benchmarks/serving.py [--seconds 5] [--clients 1 8 64] [--models echo digits resnet18]

echo answers with the body it got (1 KB), digits is the example model on an 8x8 PNG, resnet18 classifies a 224x224 JPEG.
One worker a model, batch size 1. Closed loop: every client sends its next request when it has the answer to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from numserve.server.bench import Load, Point, Target, bench
from numserve.server.bench.connections import Door
from numserve.server.bench.report import machine
from numserve.server.bench.table import milliseconds

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / "examples" / "digits"
BIN = Path(sys.executable).parent

ECHO = "def handle(rows, context):\n    return rows and [bytes(row['body']) for row in rows]\n"
RESNET = "from numserve.engine.models.resnet import BasicBlock, ResNet\n\n\nclass Model(ResNet):\n" + (
    "    def __init__(self):\n        super().__init__(BasicBlock, [2, 2, 2, 2])\n"
)


def archive(store: Path, name: str, *arguments: str | Path) -> None:
    subprocess.run(
        [BIN / "model-archiver", "--model-name", name, "--version", "1.0", "--export-path", store, *arguments],
        check=True,
    )


def make_echo(work: Path, store: Path) -> bytes:
    (work / "echo.py").write_text(ECHO)
    archive(store, "echo", "--handler", work / "echo.py")
    return os.urandom(1024)


def make_digits(work: Path, store: Path) -> bytes:
    archive(
        store, "digits", "--handler", DIGITS / "handler.py", "--model-file", DIGITS / "model.py",
        "--serialized-file", DIGITS / "digits.pth", "--extra-files", DIGITS / "index_to_name.json",
    )  # fmt: skip
    return min((DIGITS / "samples").glob("*.png")).read_bytes()


def make_resnet18(work: Path, store: Path) -> bytes:
    make = "from numserve import engine; from numserve.engine import models; import sys\n"
    make += "engine.manual_seed(0); engine.save(models.resnet18().state_dict(), sys.argv[1])"
    subprocess.run([sys.executable, "-c", make, work / "resnet18.pth"], check=True)
    (work / "resnet.py").write_text(RESNET)
    archive(
        store, "resnet18", "--handler", "image_classifier", "--model-file", work / "resnet.py",
        "--serialized-file", work / "resnet18.pth",
    )  # fmt: skip
    from PIL import Image

    picture = io.BytesIO()
    Image.effect_mandelbrot((224, 224), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(picture, "JPEG")
    return picture.getvalue()


MODELS = {"echo": make_echo, "digits": make_digits, "resnet18": make_resnet18}


@contextmanager
def serving(work: Path, store: Path, of_grpc: str = "enable_grpc=false\n") -> Iterator[dict[str, str]]:
    """A server over the store, on ports of its own; gives their addresses."""
    config = work / "config.properties"
    listeners = ("inference", "management", "metrics")
    config.write_text(
        f"default_workers_per_model=1\n{of_grpc}" + "".join(f"{n}_address=http://127.0.0.1:0\n" for n in listeners)
    )
    (work / "tmp").mkdir()
    env = os.environ | {"TEMP": str(work / "tmp"), "LOG_LOCATION": str(work / "logs")}

    def numserve(*arguments: str | Path) -> str:
        return subprocess.run(
            [BIN / "numserve", *arguments], env=env, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    numserve("--start", "--ncs", "--model-store", store, "--models", "all", "--ts-config", config)
    try:
        yield json.loads(numserve("status", "--json"))["addresses"]
    finally:
        numserve("--stop")


async def measure(address: str, request: bytes, clients: int, seconds: float, warmup: float = 0) -> Point:
    """One point of a closed loop, by the generator of `numserve bench`."""
    parts = urlsplit(address)
    target = Target(Door(parts.hostname or "", parts.port), [request])
    return [point async for point in bench(target, [Load(clients, seconds=seconds, warmup=warmup)])][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work, store = Path(folder), Path(folder) / "store"
        store.mkdir()
        bodies = {name: MODELS[name](work, store) for name in given.models}
        about = f"{machine()['cpu']}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{about}, {given.seconds:g} s a row\n")
        print("| model | clients | requests/s | p50 ms | p99 ms | not 200 |\n|---|---|---|---|---|---|")
        with serving(work, store) as addresses:
            address = addresses["inference"]
            for name, body in bodies.items():
                head = f"PUT /predictions/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
                request = head.encode() + body
                for clients in given.clients:
                    point = asyncio.run(measure(address, request, clients, given.seconds, min(1, given.seconds)))
                    latency = (milliseconds(point.latency[share]) for share in ("p50", "p99"))
                    print(
                        f"| {name} | {clients} | {point.throughput:.0f} |", " | ".join(latency), f"| {point.failed} |"
                    )


if __name__ == "__main__":
    main()
