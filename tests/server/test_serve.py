"""The server as a process: start, predict, stop, and nothing left behind."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from numserve.server import client, lifecycle
from numserve.server.serve import main
from numserve.server.settings import Settings

EPHEMERAL = "".join(f"{name}_address=http://127.0.0.1:0\n" for name in ("inference", "management", "metrics"))
SECONDS = 60


class Server:
    """`numserve` with a temp folder, ports and logs of its own."""

    def __init__(self, folder: Path, store: Path):
        self.folder, self.store = folder, store
        self.temp = folder / "temp"
        self.temp.mkdir()
        self.configure("")

    def configure(self, text: str) -> None:
        (self.folder / "config.properties").write_text(
            EPHEMERAL + "enable_grpc=false\ndisable_system_metrics=true\n" + text
        )

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "numserve.server.cli", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=SECONDS
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("TS_")}
        return kept | {"TEMP": str(self.temp), "OMP_NUM_THREADS": "1"}

    def start(self, *models: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        chosen = ["--models", *models] if models else []
        return self.run("--start", "--ncs", "--model-store", str(self.store), *chosen, check=check)

    @property
    def state(self) -> lifecycle.State:
        found = lifecycle.running(self.temp)
        assert found is not None
        return found

    def ask(self, face: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        place = urlsplit(getattr(self.state, face))
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=SECONDS)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def end(self) -> None:
        pid = lifecycle.running_pid(self.temp)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def server(tmp_path, archives):
    running = Server(tmp_path, archives.store)
    yield running
    running.end()


def test_the_command_pair_works(server, archives):
    archives.make()
    started = server.start("m=m-1.0.mar")
    assert started.stdout == "Model server started.\n"
    assert server.ask("inference", "PUT", "/predictions/m", b"hello") == (200, b"hello")
    assert json.loads(server.ask("management", "GET", "/models/m")[1])[0]["loadedAtStartup"] is True
    assert b"Requests2XX" in server.ask("metrics", "GET", "/metrics")[1]
    assert server.start(check=False).stdout.startswith("numserve is already running")
    assert server.run("--stop").stdout == "numserve has stopped.\n"
    assert list(server.temp.rglob("*")) == []


def test_the_verbs_find_the_server(server, archives, tmp_path):
    archives.make(minWorkers=1, maxWorkers=1)
    server.run("start", "--model-store", str(server.store), "--models", "all")
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert json.loads(server.run("predict", "m", "x.json").stdout) == {"a": 1}
    assert server.run("models").stdout == "  m 1.0: ready, 1/1 workers\n"
    assert server.run("models", "--url", server.state.management).stdout == "  m 1.0: ready, 1/1 workers\n"
    predicted = server.run("predict", "m", "x.json", "--version", "1.0", "--url", server.state.inference)
    assert json.loads(predicted.stdout) == {"a": 1}
    assert f"running, pid {server.state.pid}" in server.run("status").stdout
    refused = server.run("predict", "none", "x.json", check=False)
    assert (refused.returncode, "Model not found: none" in refused.stderr) == (1, True)
    access = tmp_path / "logs" / "access_log.log"
    server.run("stop")
    assert '"POST /predictions/m HTTP/1.1" 200 ' in access.read_text()


def test_a_model_that_cannot_be_loaded_is_named(server, archives):
    archives.make()
    (server.store / "broken.mar").write_bytes(b"no archive")
    started = server.start("m=m-1.0.mar", "broken.mar")
    first, last = started.stdout.splitlines()
    assert first.startswith("Failed to load model: broken.mar: ")
    assert last == "Model server started."
    assert server.ask("inference", "GET", "/predictions/m")[0] == 200
    assert server.ask("inference", "GET", "/ping")[0] == 500
    assert "  broken 1.0: failing, 0/0 workers (unpack failed: " in server.run("models").stdout
    server.run("--stop")


def test_a_port_in_use_is_one_line(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server.configure(f"management_address=http://127.0.0.1:{port}\n")
        failed = server.start(check=False)
    assert failed.returncode == 1
    (line,) = failed.stdout.splitlines()
    said = f"management_address http://127.0.0.1:{port} cannot be used: Address already in use; end what listens there"
    assert line.startswith(said)
    assert list(server.temp.iterdir()) == []


def test_a_unix_socket_is_an_address(server, archives, tmp_path):
    archives.make()
    server.configure(f"inference_address=unix:{tmp_path}/s\n")
    server.start("m-1.0.mar")
    (tmp_path / "x.txt").write_text("hi")
    assert server.run("predict", "m", "x.txt").stdout == "hi\n"
    server.run("--stop")
    assert not (tmp_path / "s").exists()


def test_faces_with_one_address_share_a_listener(server, archives, tmp_path):
    archives.make()
    server.configure("".join(f"{face}_address=unix:{tmp_path}/s\n" for face in ("inference", "management", "metrics")))
    server.start("m-1.0.mar")
    (tmp_path / "x.txt").write_text("hi")
    assert server.run("predict", "m", "x.txt").stdout == "hi\n"
    assert "m 1.0: ready" in server.run("models").stdout
    assert client.ask(f"unix:{tmp_path}/s", "GET", "/metrics")[0] == 200
    assert client.ask(f"unix:{tmp_path}/s", "GET", "/nowhere")[0] == 404
    server.run("--stop")


SLOW = """
    import time

    def handle(data, context):
        if data:
            time.sleep(1)
            return ["done"] * len(data)
"""


BATCH = b'numserve_batch_size_count{model_name="m",model_version="1.0"} 1'


async def until(server, sample):
    """Wait until a sample is among the metrics."""
    while sample not in (await asyncio.to_thread(server.ask, "metrics", "GET", "/metrics"))[1]:
        await asyncio.sleep(0.02)


async def test_a_client_that_hangs_up_is_taken_out_of_the_queue(server, archives):
    archives.make(SLOW, minWorkers=1, maxWorkers=1)
    server.start("m-1.0.mar")
    place = urlsplit(server.state.inference)
    first = asyncio.create_task(asyncio.to_thread(server.ask, "inference", "GET", "/predictions/m"))
    await until(server, BATCH)
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(b"GET /predictions/m HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(server, b'numserve_queue_depth{model_name="m",model_version="1.0"} 1')
    writer.close()
    assert await first == (200, b"done")
    await until(server, b'numserve_requests_rejected_total{model_name="m",reason="client_gone"} 1')
    await asyncio.to_thread(server.run, "--stop")


async def test_stopping_lets_requests_under_way_finish(server, archives):
    archives.make(SLOW)
    server.start("m-1.0.mar")
    pid = server.state.pid
    asking = asyncio.create_task(asyncio.to_thread(server.ask, "inference", "GET", "/predictions/m"))
    await until(server, BATCH)
    os.kill(pid, signal.SIGTERM)
    assert await asking == (200, b"done")
    await asyncio.to_thread(server.run, "--stop")
    assert lifecycle.running_pid(server.temp) is None


def test_a_server_that_stops_serves_on_while_others_take_notice(server, archives):
    server.configure("drain_delay=30\n")
    archives.make()
    server.start("m-1.0.mar")
    state = server.state
    place = urlsplit(state.inference)
    kept = http.client.HTTPConnection(place.hostname, place.port, timeout=SECONDS)
    kept.request("GET", "/v2/health/ready")
    assert (first := kept.getresponse()).status == 200 and first.headers["connection"] == "keep-alive" and first.read()
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS
    while server.ask("inference", "GET", "/ping")[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert b"the server is stopping" in server.ask("inference", "GET", "/ping")[1]
    assert b"not ready: shut-down" in server.ask("inference", "GET", "/v2/health/ready")[1]
    assert server.ask("inference", "GET", "/v2/health/live")[0] == 200
    kept.request("POST", "/predictions/m", b"still here")
    assert (last := kept.getresponse()).status == 200 and last.headers["connection"] == "close"
    assert last.read() == b"still here"
    os.kill(state.pid, signal.SIGTERM)
    server.run("--stop")
    assert lifecycle.running_pid(server.temp) is None and time.monotonic() < deadline


async def test_told_twice_a_server_waits_for_nothing(server, archives):
    server.configure("drain_delay=50\ndrain_timeout=50\n")
    archives.make(SLOW.replace("sleep(1)", "sleep(40)"), minWorkers=1, maxWorkers=1)
    server.start("m-1.0.mar")
    pid = server.state.pid
    asking = asyncio.create_task(asyncio.to_thread(server.ask, "inference", "GET", "/predictions/m"))
    await until(server, BATCH)
    began = time.monotonic()
    for _ in range(2):
        os.kill(pid, signal.SIGINT)
        await asyncio.sleep(0.1)
    status, body = await asking
    assert (status, b"Worker died." in body) == (500, True)
    await asyncio.to_thread(server.run, "--stop")
    assert lifecycle.running_pid(server.temp) is None and time.monotonic() - began < 30


def test_a_client_that_never_finishes_does_not_keep_the_server(server):
    server.configure("drain_timeout=0.2\n")
    server.start()
    place = urlsplit(server.state.inference)
    with socket.create_connection((place.hostname, place.port)) as half:
        half.sendall(b"POST /predictions/m HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        began = time.monotonic()
        assert server.run("--stop").stdout == "numserve has stopped.\n"
    assert time.monotonic() - began < 10


def test_a_foreground_server_ends_with_0_on_sigterm(server, archives):
    archives.make()
    command = [sys.executable, "-m", "numserve.server.cli", "--foreground", "--model-store", str(server.store)]
    with subprocess.Popen(
        command, cwd=server.folder, env=server.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line == "Model server started.\n" for line in lines)
        assert server.ask("inference", "GET", "/ping")[0] == 200
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(SECONDS) == 0
    assert '"GET /ping HTTP/1.1" 200' in rest
    assert [path.name for path in (server.folder / "logs").glob("*")] == ["config"]


def test_the_server_process_does_not_import_numpy(server):
    code = "import sys, numserve.server.serve; print({'numpy', 'PIL', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_workers_do_not_outlive_a_killed_server(server, archives):
    archives.make()
    server.start("m-1.0.mar")
    workers = json.loads(server.ask("management", "GET", "/models/m")[1])[0]["workers"]
    processes = [Path(f"/proc/{worker['pid']}") for worker in workers]
    os.kill(server.state.pid, signal.SIGKILL)
    deadline = time.monotonic() + SECONDS
    while any(process.exists() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes
    assert not any(process.exists() for process in processes)
    assert server.run("--stop").stdout == "Removing orphan pid file.\nnumserve is not currently running.\n"


@pytest.mark.parametrize(
    "line",
    ["worker_backend=none", "log_config=torn.yaml", "metrics_config=torn.yaml", "inference_address=unix:/none/x.sock"],
)
def test_what_keeps_a_server_from_starting_is_one_line(tmp_path, monkeypatch, capsys, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn.yaml").write_text("a: [1\nb: 2\n")
    addresses = "".join(f"{name}_address=http://127.0.0.1:0\n" for name in ("inference", "management", "metrics"))
    (tmp_path / "config.properties").write_text(f"enable_grpc=false\n{addresses}{line}\n")
    assert main(Settings.load(temp_dir=tmp_path)) == 1
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1 and line.partition("=")[0] in said.err
