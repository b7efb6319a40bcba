"""What opening a program costs: time, and memory, beside those who wrote the formats.

    python benchmarks/formats.py [--models vgg16 densenet161] [--workers 1 2 4]

Writes each model as TorchScript and ONNX with the engine itself (and as `.pt2` where torch and torchvision can be
imported), in its own temporary folder. `open` is the call that loads it, in a fresh process each time, imports done and
the file in the page cache; the least CPU time of some runs. `own` is memory that is no file's pages. Then so many
processes each load the file and read all of its weights, as the workers of a model do: `all` is the sum of their
proportional set sizes, counted from before they load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numserve.engine import Tensor, export, jit, models, nn, no_grad, onnx

RUNS = 5


def write(name: str, folder: Path) -> list[Path]:
    """The files of a model."""
    model = getattr(models, name)().eval()
    example = Tensor(np.zeros((1, 3, 224, 224), np.float32))
    files = [folder / f"{name}.{kind}" for kind in ("pt", "onnx")]
    with no_grad():
        jit.trace(model, example).save(files[0])
        onnx.export(model, example, files[1])
    if find_spec("torch") and find_spec("torchvision"):
        files.append(folder / f"{name}.pt2")
        _write_pt2(name, files[-1])
    return files


def _write_pt2(name: str, path: Path) -> None:
    import importlib.util

    import torch

    file = Path(__file__).parent.parent / "tests" / "data" / "torchvision_oracle.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = getattr(module.torchvision().models, name)().eval()
    torch.export.save(torch.export.export(made, (torch.zeros(1, 3, 224, 224),)), path)


def _torch_state(module: Any) -> list[Any]:
    return [p.detach().numpy() for p in module.parameters()]


def by_torch_jit(path: str) -> Any:
    import torch

    return _torch_state(torch.jit.load(path))


def by_torch_export(path: str) -> Any:
    import torch

    return _torch_state(torch.export.load(path).module())


def by_onnxruntime(path: str) -> Any:
    import onnxruntime

    return [onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])]


def _state(module: nn.Module) -> list[Any]:
    return [tensor.array for tensor in (*module.parameters(), *module.buffers())]


LOADERS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "numserve, TorchScript": (".pt", "numpy", lambda path: _state(jit.load(path))),
    "torch.jit.load": (".pt", "torch", by_torch_jit),
    "numserve, torch.export": (".pt2", "numpy", lambda path: _state(export.load(path))),
    "torch.export.load": (".pt2", "torch", by_torch_export),
    "numserve, ONNX": (".onnx", "numpy", lambda path: _state(onnx.load(path))),
    "onnxruntime": (".onnx", "onnxruntime", by_onnxruntime),
}


def memory(kind: str) -> int:
    """Bytes of this process: `Anonymous` or `Pss`."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{kind}:"))


def measure(loader: str, path: str) -> dict[str, float]:
    """Load the file in this process."""
    _, module, load = LOADERS[loader]
    __import__(module)
    Path(path).read_bytes()
    own, start = memory("Anonymous"), time.process_time()
    held = load(path)
    opened = time.process_time() - start
    result = {"open": opened, "own": float(memory("Anonymous") - own)}
    del held
    return result


def work(loader: str, path: str) -> None:
    """Be a worker: load, read everything, say so, and wait until all have; then tell how much memory that is."""
    _, module, load = LOADERS[loader]
    __import__(module)
    before = memory("Pss")
    held = load(path)
    for item in held:
        if isinstance(item, np.ndarray):
            float(item.sum())
    print("ready", flush=True)
    sys.stdin.readline()
    print(memory("Pss") - before, flush=True)
    sys.stdin.readline()


def command(*arguments: str) -> list[str]:
    return [sys.executable, __file__, *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def opened(loader: str, path: Path) -> dict[str, float]:
    runs = []
    for _ in range(RUNS):
        done = subprocess.run(
            command("--measure", loader, str(path)), env=environment(), capture_output=True, text=True, check=True
        )
        runs.append(json.loads(done.stdout))
    return min(runs, key=lambda run: run["open"])


def together(loader: str, path: Path, count: int) -> int:
    """Bytes that so many workers take."""
    workers = [
        subprocess.Popen(
            command("--work", loader, str(path)),
            env=environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(count)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        total = 0
        for worker in workers:
            assert worker.stdout is not None and worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
            total += int(worker.stdout.readline())
        return total
    finally:
        for worker in workers:
            worker.communicate("\n")


def rows(path: Path, counts: Iterable[int]) -> Iterable[str]:
    for loader, (suffix, module, _) in LOADERS.items():
        if suffix != path.suffix or not find_spec(module):
            continue
        best = opened(loader, path)
        cells = [f"{best['open'] * 1e3:.0f} ms", f"{best['own'] / 2**20:.0f} MB"]
        cells += [f"{together(loader, path, count) / 2**20:.0f} MB" for count in counts]
        yield f"| {path.name} | {loader} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vgg16", "densenet161"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
    elif options.work:
        work(*options.work)
    else:
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
        )
        print(f"| file | by | open | own | {' | '.join(f'{n} workers, all' for n in options.workers)} |")
        print("|---|---|---|---|" + "---|" * len(options.workers))
        for name in options.models:
            with tempfile.TemporaryDirectory() as folder:
                for path in write(name, Path(folder)):
                    for row in rows(path, options.workers):
                        print(row, flush=True)


if __name__ == "__main__":
    main()
