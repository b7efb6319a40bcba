"""What is gained by cutting products of few rows into panels that BLAS does not copy? GFLOP/s of one thread.

python benchmarks/panels.py
"""

from __future__ import annotations

import os

for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)  # an old kernel for NumPy's BLAS is nobody's product
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from functools import partial  # noqa: E402

import numpy as np  # noqa: E402
from numserve.engine.executors.blas import seconds, speed  # noqa: E402
from numserve.engine.executors.choices import cpu_model  # noqa: E402
from numserve.engine.executors.numpy.panels import multiply, panels_of  # noqa: E402
from numserve.engine.executors.numpy.workshop import Bench, run_all  # noqa: E402
from numserve.engine.executors.packed import Packed  # noqa: E402
from numserve.engine.graph.memory import aligned  # noqa: E402

SHAPES = ((16, 512, 512), (49, 512, 512), (49, 4608, 512), (196, 1024, 256), (196, 2304, 256), (3136, 64, 64))


def main() -> None:
    print(f"{cpu_model()}, at best {speed() / 1e9:.0f}\n\n| rows x depth x columns | at once | panels of 64 | of 32 |")
    print("|---|---:|---:|---:|")
    for rows, depth, columns in SHAPES:
        x, weight, y = aligned((rows, depth)), aligned((depth, columns)), aligned((rows, columns))
        for array in (x, weight):
            array[...] = np.random.default_rng(0).standard_normal(array.shape, np.float32)
        calls = [partial(np.matmul, x, weight, y)]
        for width in (64, 32):
            packed = Packed()
            calls.append(partial(run_all, multiply(x, panels_of(weight, width, packed), y, Bench(packed))))
        rates = (2 * rows * depth * columns / seconds(call, 30) / 1e9 for call in calls)
        print(f"| {rows} x {depth} x {columns} |", " | ".join(f"{rate:.0f}" for rate in rates), "|")


if __name__ == "__main__":
    main()
