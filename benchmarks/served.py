"""Archives made for a benchmark, a server of ours over them, and one point of load."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from numserve.server.bench import Load, Point, Target, bench
from numserve.server.bench.connections import Door

BIN = Path(sys.executable).parent
ECHO = "def handle(rows, context):\n    return rows and [bytes(row['body']) for row in rows]\n"


def asked_for(about: str | None, sizes: list[int]) -> argparse.Namespace:
    """What the command line says of a comparison in turns: `seconds`, `rounds`, `clients` and `bytes`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--bytes", type=int, nargs="+", default=sizes)
    return parser.parse_args()


def archive(store: Path, name: str, *arguments: str | Path) -> None:
    subprocess.run(
        [BIN / "model-archiver", "--model-name", name, "--version", "1.0", "--export-path", store, *arguments],
        check=True,
    )


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
