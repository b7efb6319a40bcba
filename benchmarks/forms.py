"""Do models that are read from files run as fast as the same models written with the engine's layers?

    python benchmarks/forms.py [--models resnet18 mlp] [--executors numpy native] [--batch 1] [--rounds 9]

Each model of engine.py is saved by PyTorch as TorchScript (traced, scripted), ONNX and `.pt2`, read by the engine, and
compiled beside its twin of `engine.nn`, all with the same choices of algorithms. One thread; all take turns in one
process, the least CPU time of the rounds. Where its memory happens to lie makes a model faster or slower by up to a
tenth: small ones are compiled some times, and the fastest counts. Ratios to the twin, bold from 1.05 on.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)  # an old kernel for NumPy's BLAS is nobody's product
os.environ["OPENBLAS_NUM_THREADS"] = "1"

absent = [name for name in ("torch", "torchvision", "onnx") if importlib.util.find_spec(name) is None]
if absent:
    sys.exit(f"{Path(__file__).name} has PyTorch save the models; missing: {', '.join(absent)} (see engine.py)")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "data"))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from comparison.targets import CLASSICS  # noqa: E402
from comparison.timing import commit, fastest, machine  # noqa: E402
from numserve.engine import Tensor, compile_module, export, jit, onnx  # noqa: E402
from numserve.engine.executors.choices import Choices  # noqa: E402
from oracle_models import OTHERS, pair  # noqa: E402

MODELS = (*CLASSICS, "mobilenet_v2", *OTHERS)
MUST = 1.05
COPIES, SMALL = 4, 1 << 24  # how often a model with fewer bytes of weights is compiled


def traced(module: Any, x: torch.Tensor, path: Path) -> Any:
    torch.jit.trace(module, x).save(path)
    return jit.load(path)


def scripted(module: Any, x: torch.Tensor, path: Path) -> Any:
    torch.jit.script(module).save(path)
    return jit.load(path)


def as_onnx(module: Any, x: torch.Tensor, path: Path) -> Any:
    torch.backends.mha.set_fastpath_enabled(False)  # the fused encoder layer has no counterpart in ONNX
    torch.onnx.export(module, (x,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    torch.backends.mha.set_fastpath_enabled(True)
    return onnx.load(path)


def exported(module: Any, x: torch.Tensor, path: Path) -> Any:
    free = ({0: torch.export.Dim("batch", min=1, max=64)},)
    two = torch.cat([x, x])  # a batch of one would be taken for a constant
    torch.export.save(torch.export.export(module, (two,), dynamic_shapes=free), path)
    return export.load(path)


FORMS: dict[str, Callable[[Any, torch.Tensor, Path], Any]] = {
    "traced": traced, "scripted": scripted, "ONNX": as_onnx, ".pt2": exported,
}  # fmt: skip


def forms(name: str, batch: int, folder: Path) -> tuple[dict[str, Any], Any]:
    """The model of a name in every form, its twin first, and what it is given."""
    twins = pair(name)
    x = np.random.default_rng(0).standard_normal((batch, *twins.shape)).astype(np.float32)
    made = {"nn": twins.ours}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for form, write in FORMS.items():
            made[form] = write(twins.theirs, torch.from_numpy(x), folder / f"{form}.model")
    return made, Tensor(x)


def measure(made: dict[str, Any], x: Any, executor: str, rounds: int) -> dict[str, float]:
    """The least seconds of each form."""
    choices, calls = Choices(), {}
    for copy in range(COPIES):
        for form, module in made.items():
            compiled = compile_module(module, x, executor=executor, choices=choices, plans=1)
            compiled(x)
            if compiled.graph is None:
                sys.exit(f"{form} runs eager: {compiled.reason}")
            if not copy or compiled.describe()["constants_bytes"] < SMALL:
                calls[f"{form} {copy}"] = lambda compiled=compiled: compiled(x)
    times = fastest(calls, rounds, 1)
    return {form: min(time for name, time in times.items() if name.rpartition(" ")[0] == form) for form in made}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="NAME")
    parser.add_argument("--executors", nargs="+", default=["numpy", "native"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{machine()}, {os.cpu_count()} cores; commit {commit()}; torch {torch.__version__}, batch {options.batch}\n")
    print(f"| model | executor | nn | {' | '.join(f'{form}/nn' for form in FORMS)} |")
    print("|---|---|---:|" + "---:|" * len(FORMS))
    missed = 0
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            made, x = forms(name, options.batch, Path(folder))
            for executor in options.executors:
                times = measure(made, x, executor, options.rounds)
                ratios = [times[form] / times["nn"] for form in FORMS]
                missed += sum(ratio > MUST for ratio in ratios)
                cells = [f"**{ratio:.2f}**" if ratio > MUST else f"{ratio:.2f}" for ratio in ratios]
                print(f"| {name} | {executor} | {times['nn'] * 1e3:.2f} ms | {' | '.join(cells)} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
