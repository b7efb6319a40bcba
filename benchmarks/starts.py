"""How long a server takes to its first answer, and what it holds while it waits, by what its model needs.

    python benchmarks/starts.py [--rounds 5] [--grpc]

`numserve start` with one echo and one worker, whose handler imports nothing, NumPy, or the engine. Seconds to the first
answer, CPU time of all processes until then, and their memory (PSS) a second later, and when management has been asked.
The best of the rounds counts, which take turns.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
from numserve.server.bench.report import machine
from peers.peer import free_ports
from served import BIN, ECHO, archive

NEEDS = {"Python": "", "NumPy": "import numpy\n", "the engine": "import torch\n"}
REST = 1.0
LIMIT = 60.0


def ask(port: int, method: str, path: str, body: bytes | None = None) -> int:
    """The status of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
        connection.request(method, path, body)
        return connection.getresponse().status


def first_answer(port: int) -> None:
    """Returns when there has been one."""
    until = time.perf_counter() + LIMIT
    while time.perf_counter() < until:
        with suppress(OSError, http.client.HTTPException):
            if ask(port, "POST", "/predictions/m", b"x") == 200:
                return
        time.sleep(0.002)
    raise TimeoutError(f"no answer within {LIMIT:g} s")


def memory(processes: list[psutil.Process]) -> float:
    """Their megabytes; what several share counts in parts."""
    return sum(process.memory_full_info().pss for process in processes) / 1e6


def start(store: Path, grpc: bool) -> tuple[float, float, float, float]:
    """Seconds, CPU seconds, megabytes, and megabytes once management was asked."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        inference, management, metrics = free_ports(3)
        (work / "config.properties").write_text(
            f"inference_address=http://127.0.0.1:{inference}\nmanagement_address=http://127.0.0.1:{management}\n"
            f"metrics_address=http://127.0.0.1:{metrics}\nenable_grpc={str(grpc).lower()}\ndefault_workers_per_model=1\n"
        )
        command = [BIN / "numserve", "start", "--foreground", "--ncs", "--model-store", store, "--models", "m=m.mar"]
        began = time.perf_counter()
        server = subprocess.Popen(
            [*command, "--ts-config", work / "config.properties"],
            env=os.environ | {"TEMP": name, "LOG_LOCATION": name}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            first_answer(inference)
            seconds = time.perf_counter() - began
            processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
            cpu = sum(sum(process.cpu_times()[:2]) for process in processes)
            time.sleep(REST)
            waiting = memory(processes)
            assert ask(management, "GET", "/models") == 200
            return seconds, cpu, waiting, memory(processes)
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--grpc", action="store_true", help="serve by gRPC as well")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        stores = {needs: Path(name, needs.replace(" ", "-")) for needs in NEEDS}
        for needs, store in stores.items():
            store.mkdir()
            (store / "handler.py").write_text(NEEDS[needs] + ECHO)
            archive(store, "m", "--handler", store / "handler.py")
        found = [{needs: start(store, given.grpc) for needs, store in stores.items()} for _ in range(given.rounds)]
    print("| needs | first answer s | CPU s | PSS MB | and management asked |\n|---|---:|---:|---:|---:|")
    for needs in NEEDS:
        best = [min(figures) for figures in zip(*(each[needs] for each in found), strict=True)]
        print(f"| {needs} | {best[0]:.2f} | {best[1]:.2f} | {best[2]:.0f} | {best[3]:.0f} |")


if __name__ == "__main__":
    main()
