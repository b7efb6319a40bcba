"""`numserve bench` against a real server, short."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import textwrap
import threading

import psutil
import pytest
from click.testing import CliRunner
from numserve.archiver import ModelArchiverConfig, pack
from numserve.server import client
from numserve.server.bench import command
from numserve.server.bench.observed import Observer, cpu_of, sums
from numserve.server.bench.own import own_server
from numserve.server.bench.point import Spent
from numserve.server.bench.sample import infer_request
from numserve.server.cli import cli

HANDLER = """
    def handle(data, context):
        if data is None:
            return None
        if b"fail" in bytes(data[0]["body"]):
            raise ValueError("as asked")
        return [bytes(row["body"]) for row in data]
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    (folder / "handler.py").write_text(textwrap.dedent(HANDLER))
    config = ModelArchiverConfig(
        model_name="echo", version="1.0", handler=str(folder / "handler.py"), export_path=str(folder)
    )
    return pack(config)


@pytest.fixture(scope="module")
def server(archive):
    with own_server(archive, "echo", 1, None) as state:
        yield state


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command where no other server is known."""
    monkeypatch.setenv("TEMP", str(tmp_path))

    def run(*arguments, seconds="0.2"):
        flags = ["--seconds", seconds, "--warmup", "0.05", "--timeout", "5"]
        return CliRunner().invoke(cli, ["bench", *map(str, arguments), *flags])

    return run


def test_closed_and_open_loop_with_all_files(run, server, tmp_path):
    route = f"{server.inference}/predictions/echo"
    metrics = ("--metrics", server.metrics)
    files = ("--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    done = run(route, "--concurrency", "1,4", "--rate", "100", "--size", "10", *metrics, *files)
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "a.json").read_text())
    assert [(point["loop"], point["level"]) for point in told["points"]] == [
        ("closed", 1),
        ("closed", 4),
        ("open", 100),
    ]
    assert all(point["answered"] > 0 and not point["errors"] for point in told["points"])
    assert told["points"][0]["server"]["batch"] == 1
    assert told["points"][0]["server"]["queue"] < told["points"][0]["latency"]["mean"]
    assert "<svg" in (tmp_path / "a.html").read_text()
    assert done.output.count("\n") >= 5


def test_every_request_of_a_count_is_sent_and_counted_once(run, server, tmp_path):
    before = _answered(server)
    done = run(f"{server.inference}/predictions/echo", "--concurrency", "3", "--requests", "50", "--json",
               tmp_path / "a.json", seconds="60")  # fmt: skip
    assert done.exit_code == 0, done.output
    (point,) = json.loads((tmp_path / "a.json").read_text())["points"]
    assert point["answered"] == 50
    assert _answered(server) - before >= 51


def _answered(server):
    status, text = client.ask(server.metrics, "GET", "/metrics")
    assert status == 200
    return sums(text.decode(), "echo").get(("queue", "count"), 0)  # there is none before the first answer


def test_failed_requests_decide_the_exit_code(run, server, tmp_path):
    (good, bad) = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"fine")
    bad.write_bytes(b"fail")
    flags = ("--concurrency", "1", "--data", good, "--data", bad, "--requests", "6")
    route = f"{server.inference}/predictions/echo"
    failed = run(route, *flags)
    assert (failed.exit_code, "c=1: 3 times status 503" in failed.output) == (1, True), failed.output
    assert run(route, *flags, "--allow-errors").exit_code == 0


def test_an_archive_is_served_for_the_bench_and_nothing_stays(run, archive, tmp_path):
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    done = run(archive.name, "--model-store", archive.parent, "--workers", 1, "--concurrency", 2, "--json",
               tmp_path / "a.json")  # fmt: skip
    assert done.exit_code == 0, done.output
    (point,) = json.loads((tmp_path / "a.json").read_text())["points"]
    assert 0 < point["server"]["cpu"] < 1
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("http://127.0.0.1:1/predictions/m", "does not answer"),
        ("http://127.0.0.1:1", "is no prediction route"),
        ("ftp://h/p", "is no prediction route"),
        ("nothing.mar", "is not there"),
        ("nothing", "no server runs here"),
    ],
)
def test_what_cannot_be_measured_is_refused(run, target, told):
    refused = run(target).exception
    assert isinstance(refused, client.Refused)
    assert told in str(refused)


def test_the_servers_own_words_where_the_first_request_fails(run, server):
    refused = run(f"{server.inference}/predictions/none").exception
    assert "answers 404" in str(refused) and "Model not found: none" in str(refused)


@pytest.mark.parametrize("text", ["0", "x", "1,-2", "inf"])
def test_a_level_is_a_number_above_nothing(run, server, text):
    done = run(f"{server.inference}/predictions/echo", "--concurrency", text)
    assert (done.exit_code, "--concurrency takes numbers above 0" in done.output) == (2, True)


@contextlib.contextmanager
def answering(answer):
    """A server that sends the same bytes for each request, and ends the connection after them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1 << 16)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/predictions/m"
        listener.shutdown(socket.SHUT_RDWR)


def test_another_server_that_closes_after_each_answer(run, tmp_path):
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok") as route:
        done = run(route, "--concurrency", "2", "--rate", "50", "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    closed, rate = json.loads((tmp_path / "a.json").read_text())["points"]
    assert closed["answered"] > 5 and rate["answered"] > 0
    assert closed["server"] == {"queue": None, "inference": None, "batch": None, "cpu": None}


def test_the_place_knows_its_model():
    at = client.Place("http://h")
    paths = {"/predictions/a%20b/1.0": "a b", "/v2/models/m/infer": "m", "/score": None}
    assert {path: command.Place(at, path).model for path in paths} == paths


def test_sums_of_one_model_and_of_all():
    text = "\n".join(
        f'numserve_{name}_duration_seconds_{kind}{{model_name="{model}",model_version="{version}"}} {value}'
        for name, kind, model, version, value in [
            ("queue", "sum", "a", "1", 0.5),
            ("queue", "sum", "a", "2", 1.0),
            ("queue", "sum", "b", "1", 2.0),
            ("inference", "count", "a", "1", 7),
        ]
    )
    assert sums(text, "a") == {("queue", "sum"): 1.5, ("inference", "count"): 7}
    assert sums(text, None)["queue", "sum"] == 3.5


def test_between_two_readings():
    spent = Observer.between(Spent(1, 2, 3, 4, None), Spent(2, 4, 6, 8, 1))
    assert spent == Spent(1, 2, 3, 4, None)


def test_the_cpu_time_of_a_process_that_is_gone():
    assert cpu_of(2**22 + 1) is None
    assert cpu_of(os.getpid()) > 0


def test_zeros_for_a_model_that_tells_its_inputs():
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}, {"name": "s", "datatype": "BYTES", "shape": [1]}]
    assert json.loads(infer_request({"inputs": inputs})) == {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0, 0]},
            {"name": "s", "datatype": "BYTES", "shape": [1], "data": [""]},
        ]
    }
    assert json.loads(infer_request({}))["inputs"][0]["shape"] == [1, 1]
