"""What does a workflow cost beside a prediction of the same model?

    python benchmarks/workflows.py [--seconds 2] [--rounds 5]

One client over loopback, 1 KB there and back through echo models with a worker each; all take turns, and the least p50
of the rounds counts. A chain asks its nodes one after the other, a fan two side by side between a first and a last one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from numserve.server.bench.report import machine
from served import BIN, archive, measure, serving

ECHO = "def handle(rows, context):\n    return rows and [bytes(next(iter(row.values()))) for row in rows]\n"
CONFIG = "enable_grpc=false\nenable_model_api=true\n"
GRAPHS = {
    "chain of 1": {"a": []},
    "chain of 3": {"a": ["b"], "b": ["c"]},
    "fan of 4": {"a": ["b", "c"], "b": ["d"], "c": ["d"]},
}


def pack(work: Path, store: Path, name: str, graph: dict[str, list[str]]) -> None:
    nodes = sorted({*graph, *(each for following in graph.values() for each in following)})
    models = "".join(f"  {node}: {{url: echo.mar}}\n" for node in nodes)
    dag = "".join(f"  {node}: [{', '.join(following)}]\n" for node, following in graph.items())
    (work / f"{name}.yaml").write_text(f"models:\n  max-batch-delay: 0\n{models}dag:\n{dag}")
    subprocess.run(
        [BIN / "workflow-archiver", "--workflow-name", name, "--spec-file", work / f"{name}.yaml",
         "--export-path", store], check=True,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work, store = Path(folder), Path(folder) / "store"
        store.mkdir()
        (work / "handler.py").write_text(ECHO)
        archive(store, "echo", "--handler", work / "handler.py")
        names = {label: label.replace(" ", "-") for label in GRAPHS}
        for label, name in names.items():
            pack(work, store, name, GRAPHS[label])
        with serving(work, store, CONFIG) as addresses:
            for name in names.values():
                url = f"{addresses['management']}/workflows?url={name}.war"
                urllib.request.urlopen(urllib.request.Request(url, method="POST")).close()
            paths = {"a prediction": "/predictions/echo"} | {
                label: f"/wfpredict/{name}" for label, name in names.items()
            }
            found: dict[str, list[float]] = {label: [] for label in paths}
            for _ in range(given.rounds):
                for label, path in paths.items():
                    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1024\r\n\r\n"
                    request = head.encode() + os.urandom(1024)
                    point = asyncio.run(measure(addresses["inference"], request, 1, given.seconds))
                    found[label].append(1000 * (point.latency["p50"] or 0))
    print(f"{machine()['cpu']}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| | p50 ms | ratio |\n|---|---:|---:|")
    plain = min(found["a prediction"])
    for label, rounds in found.items():
        print(f"| {label} | {min(rounds):.2f} | {min(rounds) / plain:.2f} |")


if __name__ == "__main__":
    main()
