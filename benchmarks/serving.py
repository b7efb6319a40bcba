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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ROOT / "examples" / "digits"
BIN = Path(sys.executable).parent

ECHO = "def handle(rows, context):\n    return rows and [bytes(row['body']) for row in rows]\n"
RESNET = "from numserve.engine.models.resnet import BasicBlock, ResNet\n\n\nclass Model(ResNet):\n" + (
    "    def __init__(self):\n        super().__init__(BasicBlock, [2, 2, 2, 2])\n"
)


@dataclass(frozen=True)
class Row:
    """What one run with so many clients showed; times in seconds."""

    clients: int
    answered: int
    failed: int
    seconds: float
    latencies: list[float]

    def at(self, share: float) -> float:
        """The latency that this share of the answers did not exceed, in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


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


async def client(address: str, request: bytes, until: float, latencies: list[float]) -> int:
    """Send the request over one connection again and again; gives how many answers were not 200."""
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    failed = 0
    while (sent := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        latencies.append(time.perf_counter() - sent)
        if b" 200" not in head[:13]:
            failed += 1
            break
    writer.close()
    await writer.wait_closed()
    return failed


async def measure(address: str, request: bytes, clients: int, seconds: float) -> Row:
    latencies: list[float] = []
    began = time.perf_counter()
    runs = (client(address, request, began + seconds, latencies) for _ in range(clients))
    failed = sum(await asyncio.gather(*runs))
    return Row(clients, len(latencies) - failed, failed, time.perf_counter() - began, latencies)


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


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
        print(f"{cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, {given.seconds:g} s a row\n")
        print("| model | clients | requests/s | p50 ms | p99 ms | not 200 |\n|---|---|---|---|---|---|")
        with serving(work, store) as addresses:
            address = addresses["inference"]
            for name, body in bodies.items():
                head = f"PUT /predictions/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
                request = head.encode() + body
                asyncio.run(measure(address, request, 1, min(1, given.seconds)))
                for clients in given.clients:
                    row = asyncio.run(measure(address, request, clients, given.seconds))
                    cells = (
                        name,
                        clients,
                        f"{row.answered / row.seconds:.0f}",
                        f"{row.at(0.5):.2f}",
                        f"{row.at(0.99):.2f}",
                    )
                    print("|", *(f"{cell} |" for cell in cells), f"{row.failed} |")


if __name__ == "__main__":
    main()
