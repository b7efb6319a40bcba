"""Contract: configuration, sections 3 and 9: Unix sockets for every listener, and CORS on every one."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request

import pytest
from numserve.server import client

FACES = ("inference", "management", "metrics")
HANDLER = "def handle(data, context):\n    return ['answered'] * len(data or [])\n"


def _start(server, config: str) -> None:
    server.config.write_text(config + "enable_grpc=false\ndefault_workers_per_model=1\n")
    (server.folder / "h.py").write_text(HANDLER)
    server.archive("m", "--handler", server.folder / "h.py")
    server.start("m.mar")


@pytest.fixture(scope="module")
def sockets(make_server, tmp_path_factory):
    """Three Unix sockets, one of which stood there already, left by a server that was killed."""
    server = make_server(tmp_path_factory.mktemp("s"))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(server.folder / "metrics.sock"))
    _start(server, "".join(f"{face}_address=unix:{server.folder}/{face}.sock\n" for face in FACES))
    yield server
    server.run("numserve", "--stop")
    assert not [*server.folder.glob("*.sock")]


@pytest.mark.parametrize(
    ("face", "path", "part"),
    [("inference", "/ping", b"Healthy"), ("management", "/models", b'"m"'), ("metrics", "/metrics", b"Requests2XX")],
)
def test_each_listener_may_be_a_unix_socket(sockets, face, path, part):
    assert sockets.addresses[face] == f"unix:{sockets.folder}/{face}.sock"
    status, body = client.ask(sockets.addresses[face], "GET", path)
    assert status == 200 and part in body


def test_the_commands_find_a_server_on_sockets(sockets):
    (sockets.folder / "body").write_bytes(b"x")
    assert sockets.run("numserve", "predict", "m", "body").stdout == "answered\n"
    assert "m 1.0: ready, 1/1 workers" in sockets.run("numserve", "models").stdout


def test_the_log_names_a_client_on_a_socket(sockets):
    client.ask(sockets.addresses["inference"], "GET", "/ping")
    log, until = sockets.folder / "logs" / "access_log.log", time.monotonic() + 30
    while ' - /unix "GET /ping HTTP/1.1" 200 ' not in (log.read_text() if log.is_file() else ""):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cors(make_server, tmp_path_factory):
    """Every listener on one port, with CORS."""
    server = make_server(tmp_path_factory.mktemp("cors"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = "".join(f"{face}_address=http://127.0.0.1:{port}\n" for face in FACES)
    _start(server, one + "cors_allowed_origin=*\ncors_allowed_methods=GET, POST\ncors_allowed_headers=X-Mine\n")
    yield server
    server.run("numserve", "--stop")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ping", 200), ("POST", "/predictions/m", 200), ("GET", "/models/m", 200), ("GET", "/metrics", 200),
        ("OPTIONS", "/predictions/m", 200), ("OPTIONS", "/", 200), ("GET", "/nowhere", 404),
        ("GET", "/predictions/nobody", 404),
    ],
)  # fmt: skip
def test_every_answer_has_the_cors_headers_verbatim(cors, method, path, status):
    request = urllib.request.Request(cors.addresses["inference"] + path, method=method, headers={"Origin": "http://a"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            met, headers = answer.status, answer.headers
    except urllib.error.HTTPError as error:
        with error:
            met, headers = error.code, error.headers
    told = {name: headers[f"access-control-allow-{name}"] for name in ("origin", "methods", "headers")}
    assert (met, told) == (status, {"origin": "*", "methods": "GET, POST", "headers": "X-Mine"})


def test_one_listener_serves_all_three(cors):
    assert len({cors.addresses[face] for face in FACES}) == 1
    assert json.loads(cors.call("inference", "/models")[1])["models"][0]["modelName"] == "m"
