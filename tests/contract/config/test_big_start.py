"""A start with many archives: loaded side by side, two of them broken, which stops nobody and is told everywhere."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

HANDLER = "def handle(data, context):\n    return [context.model_name] * len(data or [])\n"
BROKEN = "import no_such_package\n"


def archive(store: Path, name: str, handler: str = HANDLER) -> None:
    """An archive that is a folder."""
    (store / name / "MAR-INF").mkdir(parents=True)
    (store / name / "h.py").write_text(handler)
    manifest = {"runtime": "python", "model": {"modelName": name, "modelVersion": "1.0", "handler": "h.py"}}
    (store / name / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))


@pytest.fixture
def started(make_server, tmp_path, request):
    """A server over so many archives, of which one is torn and one cannot be imported; and what its start printed."""
    server = make_server(tmp_path)
    for number in range(request.param - 2):
        archive(server.store, f"m{number:03}")
    archive(server.store, "importless", BROKEN)
    (server.store / "torn.mar").write_bytes(b"no archive")
    with server.config.open("a") as file:
        file.write(f"load_models=all\nmodel_store={server.store}\ndefault_workers_per_model=1\n")
    began = time.monotonic()
    done = server.run("numserve", "--start", "--ncs", "--ts-config", str(server.config), timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    server.addresses = json.loads(server.run("numserve", "status", "--json").stdout)["addresses"]
    yield server, done.stdout, time.monotonic() - began
    server.run("numserve", "--stop", timeout=120)


def check(server, printed: str, count: int) -> None:
    for name in (f"m{0:03}", f"m{count - 3:03}"):
        assert server.call("inference", f"/predictions/{name}", "POST", b"x") == (200, name.encode())
    problems = [line for line in printed.splitlines() if line.startswith("Failed to load model: ")]
    assert sorted(line.split(": ")[1] for line in problems) == ["importless", "torn.mar"]
    assert printed.endswith("Model server started.\n")
    log = (server.folder / "logs" / "ts_log.log").read_text()
    assert sorted(map(int, re.findall(rf"(\d+) of {count} models: ", log))) == list(range(1, count + 1))
    assert all(problem in log for problem in problems)
    status, body = server.call("inference", "/ping")
    assert status == 500
    assert json.loads(body) == {
        "status": "Unhealthy",
        "reason": f"1 of {count} models cannot be served; the management API says why",
    }
    assert server.call("inference", "/v2/health/ready")[0] == 400
    for name, reason in (("torn", "unpack failed: "), ("importless", "No module named 'no_such_package'")):
        [told] = json.loads(server.call("management", f"/models/{name}")[1])
        assert told["state"] == "failing" and reason in told["reason"]


@pytest.mark.parametrize("started", [12], indirect=True)
def test_a_broken_archive_stops_nobody_and_is_told_everywhere(started):
    server, printed, _ = started
    check(server, printed, 12)


@pytest.mark.slow
@pytest.mark.parametrize("started", [200], indirect=True)
def test_two_hundred_archives_are_served(started, capsys):
    server, printed, seconds = started
    check(server, printed, 200)
    assert re.search(r"^\d+ of 200 models are through", printed, re.M)
    text = server.call("metrics", "/metrics")[1].decode()
    held = [float(value) for value in re.findall(r"^numserve_worker_memory_bytes{.*} (\S+)$", text, re.M)]
    [front] = re.findall(r"^process_resident_memory_bytes (\S+)$", text, re.M)
    with capsys.disabled():
        told = f"{len(held)} workers with {sum(held) / 2**20:.0f} MB, the server with {float(front) / 2**20:.0f} MB"
        print(f"\n200 archives: started in {seconds:.1f} s, {told}")
