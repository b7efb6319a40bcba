"""How fast do whole models run, by plan, beside PyTorch and ONNX Runtime?

    python benchmarks/engine.py [--models resnet18 mlp] [--batch 1 8] [--threads 1 2] [--engines eager ort native]

All engines in one process, in turns with a pause between, the least of the rounds: CPU time of the thread for one
thread, else time by the clock. Ratios stand beside what they must reach and what they aim at (must/aim); one that
misses its must is measured again, and if it still does, is printed bold and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path

for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)  # an old kernel for NumPy's BLAS is nobody's product
os.environ["OPENBLAS_NUM_THREADS"] = "1"

NEEDED = ("torch", "torchvision", "onnx", "onnxruntime")
absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if absent:
    sys.exit(
        f"{Path(__file__).name} compares with PyTorch and ONNX Runtime; missing: {', '.join(absent)}.\n"
        "Make an environment of its own:\n"
        "  python -m venv .venv-oracle && .venv-oracle/bin/pip install --group oracle torchvision -e .\n"
        "  .venv-oracle/bin/python benchmarks/engine.py"
    )
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "data"))

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from comparison.engines import ENGINES, OURS  # noqa: E402
from comparison.rows import Row, measure  # noqa: E402
from comparison.tables import ratios, times  # noqa: E402
from comparison.targets import CLASSICS  # noqa: E402
from comparison.timing import Limits, commit, counted, machine  # noqa: E402
from oracle_models import OTHERS, SEGMENTERS, pair  # noqa: E402

MODELS = (*CLASSICS, "mobilenet_v2", *OTHERS)


def main() -> int:
    options = parse()
    print(
        f"{machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; commit {commit()}; numpy {np.__version__}"
    )
    print(f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}; {options.rounds} rounds or more\n")
    limits = {threads: Limits(threads) for threads in options.threads}
    rows: list[Row] = []
    for name in options.models:
        model = pair(name)
        for threads in options.threads:
            for batch in options.batch:
                rows.append(measure(name, model, batch, limits[threads], options.engines, options.rounds))
                print(rows[-1], file=sys.stderr, flush=True)
    for threads in options.threads:
        mine = [row for row in rows if row.limits.threads == threads]
        print(f"### {counted(threads)}, at best {limits[threads]}\n")
        print(times(mine, options.engines), ratios(mine, options.engines), sep="\n\n", end="\n\n")
    if options.json:
        facts = {"machine": machine(), "commit": commit(), "rows": [row.as_json() for row in rows]}
        options.json.write_text(json.dumps(facts, indent=1))
    misses = [miss for row in rows for miss in row.misses()]
    held = sum(ratio.target is not None for row in rows for ratio in row.ratios())
    print(f"{len(misses)} missed; {held} ratios have a must.", *misses, sep="\n- ")
    return 1 if misses else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=(*MODELS, *SEGMENTERS), default=MODELS, metavar="NAME",
                        help=f"{', '.join(MODELS)}; and {', '.join(SEGMENTERS)}")  # fmt: skip
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES), metavar="NAME",
                        help=f"{', '.join(ENGINES)}; {' and '.join(OURS)} are numserve's")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
