"""The whole path with real processes: archive, start, predict, break, scale, version, scrape, stop."""

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parent.parent
DIGITS = ROOT / "examples" / "digits"
LIMIT = 30.0  # seconds a step may take on a busy machine


@pytest.fixture
def sample() -> bytes:
    return min((DIGITS / "samples").glob("*.png")).read_bytes()


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Processes whose command line or working directory lies in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join([*process.cmdline(), process.cwd()]) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_model_lives_through_everything_and_leaves_nothing_behind(server: Any, sample: bytes) -> None:
    server.start(f"digits={server.archive_digits('1.0')}")
    first = pytest.approx(server.predict(sample), abs=1e-5)  # another worker may choose other algorithms

    with ThreadPoolExecutor(16) as clients:
        assert list(clients.map(lambda _: server.predict(sample), range(64))) == [first] * 64

    os.kill(server.workers()[0], signal.SIGKILL)
    eventually(lambda: server.call("inference", "/predictions/digits", "PUT", sample)[0] == 200)
    assert len(server.workers()) == 1

    for count in (3, 0, 1):
        status, body = server.call("management", f"/models/digits?min_worker={count}&synchronous=true", "PUT")
        assert status == 200, body
        assert len(server.workers()) == count
    assert server.predict(sample) == first

    second = server.archive_digits("2.0")
    status, body = server.call("management", f"/models?url={second}&initial_workers=1&synchronous=true", "POST")
    assert status == 200, body
    assert server.predict(sample, "/predictions/digits/2.0") == first
    assert server.call("management", "/models/digits/2.0/set-default", "PUT")[0] == 200
    assert server.describe()["modelVersion"] == "2.0"
    assert server.call("management", "/models/digits/1.0", "DELETE")[0] == 200
    assert server.call("inference", "/predictions/digits/1.0", "PUT", sample)[0] == 404

    samples = server.call("metrics", "/metrics")[1].decode()
    assert 'ts_inference_requests_total{model_name="digits",model_version="default"' in samples

    stopped = server.run("numserve", "--stop")
    assert "has stopped" in stopped.stdout, stopped.stdout + stopped.stderr
    assert processes_in(server.folder) == []
    assert list(server.temp.iterdir()) == []


def test_a_bad_model_says_why_to_the_caller_and_in_describe(server: Any) -> None:
    broken = server.folder / "broken.py"
    broken.write_text("import nothing_of_that_name\n\ndef handle(rows, context):\n    return rows\n")
    server.archive("broken", "--handler", broken)
    server.start(f"digits={server.archive_digits('1.0')}")

    status, body = server.call("management", "/models?url=broken.mar&initial_workers=1&synchronous=true", "POST")

    assert status == 500
    error = json.loads(body)
    assert error["message"] == "Failed to start workers for model broken version: 1.0"
    assert "import" in error["detail"]
    assert "nothing_of_that_name" in error["detail"]
    assert "broken.py:1" in error["detail"]
    assert server.call("management", "/models/broken")[0] == 404
