"""What a tensor costs on its way through the handler `tensor`: as JSON, and as bytes behind JSON, both ways.

    python benchmarks/tensors.py [--rounds 30]

A worker's runtime in this process, on a model that gives back what it gets. The least CPU time of all rounds, which
take turns; sockets and the server are not in it (workers.py has those).
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from numserve.server.messages import InferenceRequest, LoadReport, ModelSpec, Part
from numserve.server.workers.runtime import Runtime

MODEL = "from torch import nn\n\nclass Same(nn.Module):\n    def forward(self, x):\n        return x\n"
SHAPES = ((1, 16), (1, 3, 224, 224), (8, 3, 224, 224))


def runtime_in(folder: Path) -> Runtime:
    (folder / "model.py").write_text(MODEL)
    manifest = {"model": {"modelName": "same", "modelVersion": "1.0", "modelFile": "model.py"}}
    config = {"engine": {"executor": "eager"}}
    spec = ModelSpec("same", "1.0", str(folder), "tensor", manifest=manifest, config=config, max_response_size=1 << 30)
    runtime = Runtime(spec)
    assert isinstance(runtime.load(), LoadReport)
    return runtime


def as_json(values: np.ndarray) -> InferenceRequest:
    asked = {"inputs": [tensor(values) | {"data": values.reshape(-1).tolist()}]}
    return InferenceRequest("1", (Part("body", "application/json", json.dumps(asked).encode()),), {})


def as_bytes(values: np.ndarray) -> InferenceRequest:
    described = tensor(values) | {"parameters": {"binary_data_size": values.nbytes}}
    text = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(text))}
    return InferenceRequest("1", (Part("body", "application/octet-stream", text + values.tobytes()),), headers)


def tensor(values: np.ndarray) -> dict[str, object]:
    return {"name": "x", "shape": list(values.shape), "datatype": "FP32"}


def seconds(runtime: Runtime, request: InferenceRequest) -> float:
    began = time.thread_time()
    outcome, _ = runtime.infer([request])
    took = time.thread_time() - began
    assert isinstance(outcome, list) and outcome[0].status == 200
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    print(f"CPython {platform.python_version()}, numpy {np.__version__}, {platform.machine()}\n")
    print("| FP32 | JSON, MB | JSON, ms | bytes, MB | bytes, ms | JSON : bytes |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        runtime = runtime_in(Path(folder))
        for shape in SHAPES:
            values = np.random.default_rng(0).standard_normal(shape, np.float32)
            ways = [as_json(values), as_bytes(values)]
            times = [[seconds(runtime, way) for way in ways] for _ in range(rounds)]
            text, raw = (min(column) * 1000 for column in zip(*times, strict=True))
            sizes = [len(way.parts[0].body) / 1e6 for way in ways]
            name = " × ".join(map(str, shape))
            print(f"| {name} | {sizes[0]:.2g} | {text:.2f} | {sizes[1]:.2g} | {raw:.2f} | {text / raw:.0f} |")


if __name__ == "__main__":
    main()
