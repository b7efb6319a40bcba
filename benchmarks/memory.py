"""What the workers of a model hold of the machine's memory, together.

    python benchmarks/memory.py [--models vgg16 densenet161] [--workers 1 2 4]

Packs each model with weights drawn at random, and starts a server of its own with so many workers, which compile the
model as they load it. Each answers a picture; then `describe` is asked for the memory of each: resident, and with pages
that several share in parts (PSS), of which the sum is what they take together. `ready` is when all are.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

from PIL import Image

BIN = Path(sys.executable).parent
PROPORTIONAL = "proportionalMemoryUsage"
MAKE = "import sys; from numserve import engine; from numserve.engine import models; engine.manual_seed(0);"
MAKE += "engine.save(getattr(models, sys.argv[1])().state_dict(), sys.argv[2])"


def pack(name: str, work: Path) -> Path:
    """The archive of a model; its folder is the model store."""
    store = work / "store"
    store.mkdir()
    weights, program = work / "weights.pth", work / "model.onnx"
    subprocess.run([sys.executable, "-c", MAKE, name, weights], check=True)
    subprocess.run([BIN / "numserve", "convert", weights, program, "--network", name], check=True, capture_output=True)
    subprocess.run(
        [BIN / "model-archiver", "--model-name", name, "--version", "1.0", "--export-path", store]
        + ["--handler", "image_classifier", "--serialized-file", program],
        check=True,
    )
    return store


def picture() -> bytes:
    data = io.BytesIO()
    Image.effect_mandelbrot((224, 224), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(data, "JPEG")
    return data.getvalue()


def measure(name: str, store: Path, workers: int) -> str:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.properties")
        addresses = "enable_grpc=false\n" + "".join(
            f"{n}_address=http://127.0.0.1:0\n" for n in ("inference", "management", "metrics")
        )
        config.write_text(f"default_workers_per_model={workers}\ndefault_startup_timeout=600\n{addresses}")
        environment = os.environ | {"TEMP": folder, "LOG_LOCATION": f"{folder}/logs"}

        def numserve(*arguments: str | Path) -> str:
            command = [BIN / "numserve", *arguments]
            return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

        begun = time.perf_counter()
        numserve("--start", "--ncs", "--model-store", store, "--models", "all", "--ts-config", config)
        try:
            seconds = time.perf_counter() - begun
            address = json.loads(numserve("status", "--json"))["addresses"]
            held = ask(name, address, workers)
        finally:
            numserve("--stop")
    resident, together = (sum(worker[key] for worker in held) / 2**20 for key in ("memoryUsage", PROPORTIONAL))
    cells = f"{resident / workers:.0f} MB | {together / workers:.0f} MB | {together:.0f} MB | {seconds:.0f} s"
    return f"| {name} | {workers} | {cells} |"


def ask(name: str, address: dict[str, str], workers: int) -> list[dict[str, int]]:
    """What describe says of each worker when all of them have answered."""
    request = Request(f"{address['inference']}/predictions/{name}", picture(), {"Content-Type": "image/jpeg"})
    for pause in (1.1, 0):  # a worker measures what is resident once a second
        for _ in range(2 * workers):
            urlopen(request).read()
        time.sleep(pause)
    (described,) = json.load(urlopen(f"{address['management']}/models/{name}"))
    assert all(worker["status"] == "READY" for worker in described["workers"])
    found: list[dict[str, int]] = described["workers"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vgg16", "densenet161"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4])
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| model | workers | resident each | PSS each | together | ready |")
    print("|---|---|---|---|---|---|")
    for name in options.models:
        with tempfile.TemporaryDirectory() as work:
            store = pack(name, Path(work))
            for workers in options.workers:
                print(measure(name, store, workers), flush=True)


if __name__ == "__main__":
    main()
