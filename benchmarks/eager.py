"""How fast are layers and whole models, run eagerly, beside torch eager?

    python benchmarks/eager.py [--only resnet18 conv] [--batches 1 8] [--rounds 9]

One thread; all engines in one process, in turns with a pause between, CPU time of the thread, the minimum over the
rounds. Where torch is not importable the table has this engine's times alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # read when numpy and torch load

import numpy as np  # noqa: E402
from numserve.engine import Tensor, nn, no_grad  # noqa: E402
from numserve.engine import models as classics  # noqa: E402

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

PAUSE = 0.03  # spinning threads of one engine must not tax the next
LAYERS = {
    "conv 3x3, 56x56x64": ("Conv2d(64, 64, 3, padding=1, bias=False)", (64, 56, 56)),
    "conv 3x3, 28x28x128": ("Conv2d(128, 128, 3, padding=1, bias=False)", (128, 28, 28)),
    "conv 3x3, 14x14x256": ("Conv2d(256, 256, 3, padding=1, bias=False)", (256, 14, 14)),
    "conv 3x3, 7x7x512": ("Conv2d(512, 512, 3, padding=1, bias=False)", (512, 7, 7)),
    "conv 3x3 stride 2, 56x56x64": ("Conv2d(64, 128, 3, 2, 1, bias=False)", (64, 56, 56)),
    "conv 1x1, 56x56x256": ("Conv2d(256, 64, 1, bias=False)", (256, 56, 56)),
    "conv 7x7 stride 2, 224x224x3": ("Conv2d(3, 64, 7, 2, 3, bias=False)", (3, 224, 224)),
    "conv depthwise, 56x56x144": ("Conv2d(144, 144, 3, padding=1, groups=144, bias=False)", (144, 56, 56)),
    "conv transposed 2x2, 28x28x128": ("ConvTranspose2d(128, 64, 2, 2)", (128, 28, 28)),
    "batch norm, 56x56x64": ("BatchNorm2d(64)", (64, 56, 56)),
    "layer norm, 128x768": ("LayerNorm(768)", (128, 768)),
    "relu, 56x56x64": ("ReLU()", (64, 56, 56)),
    "gelu, 128x3072": ("GELU()", (128, 3072)),
    "max pool 3x3 stride 2, 112x112x64": ("MaxPool2d(3, 2, 1)", (64, 112, 112)),
    "avg pool 2x2, 56x56x128": ("AvgPool2d(2)", (128, 56, 56)),
    "adaptive pool to 1x1, 7x7x512": ("AdaptiveAvgPool2d(1)", (512, 7, 7)),
    "linear 4096 to 4096": ("Linear(4096, 4096)", (4096,)),
    "linear 768 to 3072, 128 rows": ("Linear(768, 3072)", (128, 768)),
    "bilinear upsampling, 28x28x64 to 56": ("Upsample(scale_factor=2, mode='bilinear')", (64, 28, 28)),
}
MODELS = ("alexnet", "squeezenet1_0", "resnet18", "resnet50", "densenet161", "vgg16", "mobilenet_v2", "inception_v3")


def main() -> None:
    options = parse()
    print(f"{cpu()}, 1 thread; Python {platform.python_version()}, numpy {np.__version__}", end="")
    print(f", torch {torch.__version__}\n" if torch else "; torch is not here\n")
    if torch:
        torch.set_num_threads(1)
    print("| what | batch | numserve ms | torch eager ms | ratio |\n|---|---:|---:|---:|---:|")
    for name, layer_batch, build in subjects(options.batches):
        if not options.only or any(word in name for word in options.only):
            print(row(name, layer_batch, build(), options.rounds), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="rows whose name holds one of the words")
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


Calls = list[Callable[[], Any]]
Subject = tuple[str, int, Callable[[], Calls]]


def subjects(batches: list[int]) -> list[Subject]:
    """Every row of the table: its name, its batch, and what builds the calls to time."""
    layers: list[Subject] = [
        (name, batch, lambda text=text, shape=(batch, *shape): layer(text, shape))
        for name, (text, shape) in LAYERS.items()
        for batch in batches
    ]
    models: list[Subject] = [
        (name, batch, lambda name=name, batch=batch: model(name, batch)) for name in MODELS for batch in batches
    ]
    return layers + models


def layer(text: str, shape: tuple[int, ...]) -> Calls:
    """One layer here and in torch, on an image as the layers before leave it."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    mine = eval(text, vars(nn)).eval()
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if x.ndim == 4 and shape[1] > 3 else x
    calls: Calls = [lambda: mine(Tensor(last))]
    if torch:
        theirs, given = eval(text, vars(torch.nn)).eval(), torch.tensor(x)
        calls.append(lambda: theirs(given))
    return calls


def model(name: str, batch: int) -> Calls:
    """One of the classics here and in torch."""
    size = 299 if name.startswith("inception") else 224
    x = np.random.default_rng(0).standard_normal((batch, 3, size, size)).astype(np.float32)
    mine = getattr(classics, name)().eval()
    calls: Calls = [lambda: mine(Tensor(x))]
    if torch:
        options = {"init_weights": False} if name.startswith("inception") else {}
        theirs, given = getattr(torchvision().models, name)(**options).eval(), torch.tensor(x)
        theirs.load_state_dict({key: torch.from_numpy(value.array) for key, value in mine.state_dict().items()})
        calls.append(lambda: theirs(given))
    return calls


def torchvision() -> ModuleType:
    """torchvision; a wheel that lacks its compiled operators has every model all the same."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "data"))
    from torchvision_oracle import torchvision as load

    return load()


def row(name: str, batch: int, calls: Calls, rounds: int) -> str:
    times = [f"{1000 * t:.2f}" for t in fastest(calls, rounds)]
    ratio = f"{float(times[0]) / float(times[1]):.2f}" if len(times) > 1 else ""
    return f"| {name} | {batch} | {times[0]} | {times[1] if len(times) > 1 else ''} | {ratio} |"


def fastest(calls: Calls, rounds: int) -> list[float]:
    """The least CPU time of each call, in seconds, taken in turns; short calls are repeated within a round."""
    best = [float("inf")] * len(calls)
    with no_grad(), torch.inference_mode() if torch else no_grad():
        repeats = [max(1, int(0.02 / max(1e-5, timed(call, 1)))) for call in calls]
        for _ in range(rounds):
            for index, call in enumerate(calls):
                best[index] = min(best[index], timed(call, repeats[index]))
                time.sleep(PAUSE)
    return best


def timed(call: Callable[[], Any], repeats: int) -> float:
    start = time.thread_time()
    for _ in range(repeats):
        call()
    return (time.thread_time() - start) / repeats


if __name__ == "__main__":
    main()
