"""What opening a large weights file costs: time, and memory that becomes resident.

    python benchmarks/checkpoints.py [--megabytes 128] [--tensors 160]

Writes the same tensors as a checkpoint and as safetensors, in its own temporary folder, then opens each in a fresh
process: `open` is load(), `read` touches every page after it. Where torch can be imported, the legacy form is written
too and torch.load is measured beside (with and without its mmap option). The files are in the page cache throughout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numserve.engine import Tensor, formats
from numserve.plugins import resolve

RUNS = 5


def write(folder: Path, megabytes: int, tensors: int) -> list[Path]:
    """The files to open."""
    size = (megabytes << 20) // 4 // tensors
    generator = np.random.default_rng(0)
    state = {f"layer{i}.weight": Tensor(generator.random(size, np.float32)) for i in range(tensors)}
    formats.save(state, folder / "checkpoint.pth")
    formats.save_file(state, folder / "weights.safetensors")
    if find_spec("torch"):
        import torch

        same = {name: torch.from_numpy(tensor.array) for name, tensor in state.items()}
        torch.save(same, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    return sorted(folder.iterdir())


def by_torch(path: str, **options: Any) -> list[Any]:
    import torch

    return [tensor.numpy() for tensor in torch.load(path, weights_only=True, **options).values()]


LOADERS: dict[str, Callable[[str], list[Any]]] = {
    "numserve": lambda path: [tensor.array for tensor in formats.load(path).values()],
    "torch": by_torch,
    "torch, mmap": lambda path: by_torch(path, mmap=True),
}


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def own_memory() -> int:
    """Bytes in memory that are not a file's pages, and so are no other process's too."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Anonymous:"))


def measure(loader: str, path: str) -> dict[str, float]:
    """Open and read the file in this process."""
    load = LOADERS[loader]
    if loader != "numserve":
        __import__("torch")
    for reader in formats.BUILTIN:  # imports are done and the page cache is warm before the clock starts
        resolve("formats", reader, formats.BUILTIN)
    formats.detect(path)
    before, own, start = resident(), own_memory(), time.perf_counter()
    arrays = load(path)
    opened, grown, own_grown = time.perf_counter() - start, resident() - before, own_memory() - own
    total = sum(float(array.sum()) for array in arrays)
    return {
        "open": opened,
        "open_resident": grown,
        "open_own": own_grown,
        "read": time.perf_counter() - start - opened,
        "read_resident": resident() - before,
        "total": total,
    }


def in_a_fresh_process(loader: str, path: Path) -> dict[str, float]:
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--measure", loader, str(path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def row(loader: str, path: Path) -> str:
    """The fastest of some runs as a row of the table."""
    best = min((in_a_fresh_process(loader, path) for _ in range(RUNS)), key=lambda run: run["open"])
    cells = [
        f"{best['open'] * 1e3:.1f} ms",
        f"{best['open_resident'] / 2**20:.1f} MB",
        f"{best['open_own'] / 2**20:.1f} MB",
        f"{best['read'] * 1e3:.0f} ms",
        f"{best['read_resident'] / 2**20:.0f} MB",
    ]
    return f"| {path.name} | {loader} | {' | '.join(cells)} |"


def takes(loader: str, path: Path) -> bool:
    """Whether the loader reads such a file."""
    if loader == "numserve":
        return True
    return find_spec("torch") is not None and path.suffix == ".pth" and not (path.stem == "legacy" and "mmap" in loader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=128)
    parser.add_argument("--tensors", type=int, default=160)
    parser.add_argument("--measure", nargs=2, metavar=("LOADER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"{options.tensors} float32 tensors, {options.megabytes} MB, best of {RUNS} processes\n")
    print("| file | by | open | resident after | of it its own | read all | resident after |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for path in write(Path(folder), options.megabytes, options.tensors):
            for loader in LOADERS:
                if takes(loader, path):
                    print(row(loader, path))


if __name__ == "__main__":
    main()
