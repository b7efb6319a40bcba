"""What opening a program costs: time, and memory, beside those who wrote the formats.

    python benchmarks/formats.py [--models vgg16 densenet161] [--workers 1 2 4]

Writes each model as TorchScript and ONNX with the engine itself (where torch and torchvision can be imported also as
`.pt2`, and as TorchScript traced and scripted by torch), in its own temporary folder. `open` is the call that loads it,
in a fresh process each time, imports done and the file in the page cache: the least CPU time of some rounds, in which
all who read the file take turns. `own` is memory that is no file's pages. Of TorchScript the first worker of a model
leaves an index in the model's folder, which is part of its time, and later ones open the file by it; both compile what
they run when it first runs, the first one while it opens. Then so many processes each load the file and read all of its
weights, as the workers of a model do: `all` is the sum of their proportional set sizes, counted from before they load.
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
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numserve.engine import Tensor, export, jit, models, nn, no_grad, onnx
from numserve.engine.sharing import share_in

SHAPE = (1, 3, 224, 224)


def written(name: str, folder: Path) -> Iterator[Path]:
    """The files of a model, one after the other: each is gone when the next one is asked for."""
    kinds = {".pt": _write_own_script, ".onnx": _write_onnx}
    if find_spec("torch") and find_spec("torchvision"):
        kinds |= {".traced.pt": _write_traced, ".scripted.pt": _write_scripted, ".pt2": _write_pt2}
    for suffix, write in kinds.items():
        path = folder / f"{name}{suffix}"
        write(name, path)
        yield path
        path.unlink()


def _write_own_script(name: str, path: Path) -> None:
    with no_grad():
        jit.trace(getattr(models, name)().eval(), Tensor(np.zeros(SHAPE, np.float32))).save(path)


def _write_onnx(name: str, path: Path) -> None:
    with no_grad():
        onnx.export(getattr(models, name)().eval(), Tensor(np.zeros(SHAPE, np.float32)), path)


def _write_traced(name: str, path: Path) -> None:
    import torch

    torch.jit.trace(_of_torchvision(name), torch.zeros(SHAPE)).save(path)


def _write_scripted(name: str, path: Path) -> None:
    import torch

    torch.jit.script(_of_torchvision(name)).save(path)


def _write_pt2(name: str, path: Path) -> None:
    import torch

    torch.export.save(torch.export.export(_of_torchvision(name), (torch.zeros(SHAPE),)), path)


def _of_torchvision(name: str) -> Any:
    import importlib.util

    file = Path(__file__).parent.parent / "tests" / "data" / "torchvision_oracle.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module.torchvision().models, name)().eval()


def _torch_state(module: Any) -> list[Any]:
    return [p.detach().numpy() for p in (module.module() if hasattr(module, "module") else module).parameters()]


def by_torch_jit(path: str) -> Any:
    import torch

    return torch.jit.load(path)


def by_torch_export(path: str) -> Any:
    import torch

    return torch.export.load(path)


def by_onnxruntime(path: str) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def by_the_first_worker(path: str) -> Any:
    folder = Path(tempfile.mkdtemp(dir=Path(path).parent))
    share_in(folder)
    return jit.load(path)


def by_a_later_worker(path: str) -> Any:
    share_in(Path(path).parent)
    return jit.load(path)


def _state(module: nn.Module) -> list[Any]:
    return [tensor.array for tensor in (*module.parameters(), *module.buffers())]


LOADERS: dict[str, tuple[str, str, Callable[[str], Any], Callable[[Any], list[Any]]]] = {
    "numserve, the first worker": (".pt", "numpy", by_the_first_worker, _state),
    "numserve, later ones": (".pt", "numpy", by_a_later_worker, _state),
    "torch.jit.load": (".pt", "torch", by_torch_jit, _torch_state),
    "numserve, torch.export": (".pt2", "numpy", export.load, _state),
    "torch.export.load": (".pt2", "torch", by_torch_export, _torch_state),
    "numserve, ONNX": (".onnx", "numpy", onnx.load, _state),
    "onnxruntime": (".onnx", "onnxruntime", by_onnxruntime, lambda session: []),
}


def memory(kind: str) -> int:
    """Bytes of this process: `Anonymous` or `Pss`."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{kind}:"))


def measure(loader: str, path: str) -> dict[str, float]:
    """Load the file in this process."""
    _, module, load, _ = LOADERS[loader]
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
    _, module, load, state_of = LOADERS[loader]
    __import__(module)
    before = memory("Pss")
    held = load(path)
    for array in state_of(held):
        float(array.sum())
    print("ready", flush=True)
    sys.stdin.readline()
    print(memory("Pss") - before, flush=True)
    sys.stdin.readline()


def command(*arguments: str) -> list[str]:
    return [sys.executable, __file__, *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def opened(loader: str, path: Path) -> dict[str, float]:
    """What opening a file costs a process of its own."""
    done = subprocess.run(
        command("--measure", loader, str(path)), env=environment(), capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


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


def rows(path: Path, counts: Sequence[int], rounds: int) -> Iterator[str]:
    """The rows of all who read a file, who take turns."""
    loaders = [name for name, (suffix, module, *_) in LOADERS.items() if suffix == path.suffix and find_spec(module)]
    if path.suffix == ".pt":
        opened("numserve, later ones", path)  # leaves the index
    runs = [{loader: opened(loader, path) for loader in loaders} for _ in range(rounds)]
    for loader in loaders:
        best = min((run[loader] for run in runs), key=lambda run: run["open"])
        cells = [f"{best['open'] * 1e3:.0f} ms", f"{best['own'] / 2**20:.0f} MB"]
        cells += [f"{together(loader, path, count) / 2**20:.0f} MB" for count in counts]
        yield f"| {path.name} | {loader} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vgg16", "densenet161"])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=5)
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
                for path in written(name, Path(folder)):
                    for row in rows(path, options.workers, options.rounds):
                        print(row, flush=True)


if __name__ == "__main__":
    main()
