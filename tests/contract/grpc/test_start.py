"""How gRPC is switched on and off, where it listens, and by TLS (contract: configuration, sections 3 and 9)."""

import contextlib
import socket
import subprocess
import sys

import grpc
import pytest
from numserve.server.grpc import INSTALL, asked_for, installed, served
from numserve.server.serve import _bind_grpc
from numserve.server.settings import Settings

HIDE = "import sys\nsys.modules['grpc'] = None\n"
SUBJECT = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A folder without a configuration, and no variables that would be one."""
    for name in ("TS_CONFIG_FILE", "LOG_LOCATION", "TEMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without(monkeypatch, tmp_path):
    """Processes that are started see no grpcio."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(HIDE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))


def start(server, text):
    listeners = "".join(f"{face}_address=http://127.0.0.1:0\n" for face in ("inference", "management", "metrics"))
    server.config.write_text(listeners + text)
    return server.run("numserve", "--start", "--ncs", "--model-store", "store", "--ts-config", str(server.config))


def log_of(server):
    return (server.folder / "logs" / "ts_log.log").read_text()


def test_without_the_extra_the_server_starts_and_says_how_to_have_it(server, without):
    assert start(server, "").returncode == 0
    assert log_of(server).count(f"gRPC is an extra and not served: {INSTALL}") == 1
    assert "grpc inference  -" in server.run("numserve", "status").stdout


def test_without_the_extra_the_keys_that_ask_for_it_are_named(server, without):
    done = start(server, "grpc_inference_port=0\ngrpc_management_address=0.0.0.0\n")
    assert done.returncode == 0, done.stdout
    told = f"gRPC is an extra and not served, as grpc_inference_port, grpc_management_address would have it: {INSTALL}"
    assert f"[WARN ] main numserve.server.serve - {told}" in log_of(server)


def test_without_the_extra_who_must_have_it_does_not_start(server, without):
    done = start(server, "enable_grpc=true\n")
    assert (done.returncode, "Model server started" in done.stdout) == (1, False)
    assert f"Invalid configuration: enable_grpc = true: gRPC is an extra: {INSTALL}" in done.stdout


def test_the_extra_is_both_packages(monkeypatch):
    assert installed()
    for package in ("google.protobuf", "google", "grpc"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            assert not installed()


def test_it_is_served_unless_it_is_switched_off(bare):
    assert served(Settings.load()) and served(Settings.load(enable_grpc=True))
    assert not served(Settings.load(enable_grpc=False))


def test_what_a_snapshot_repeats_is_not_asked_for(bare):
    (bare / "c").write_text("grpc_inference_port=7070\nenable_grpc_ssl=false\n")
    assert asked_for(Settings.load(ts_config="c")) == ["enable_grpc_ssl", "grpc_inference_port"]
    (bare / "logs" / "config").mkdir(parents=True)
    (bare / "logs" / "config" / "1-startup.cfg").write_text("grpc_inference_port=7070\ngrpc_management_port=9\n")
    assert asked_for(Settings.load()) == ["grpc_management_port"]


def test_a_port_in_use_stops_a_start_only_where_it_was_asked_for(bare, caplog, server, deviates):
    deviates("a default port that is in use")
    server.config.write_text("")
    with socket.socket() as taken, contextlib.ExitStack() as stack:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        nobody_asked = Settings.load().model_copy(update={"grpc_inference_port": port, "grpc_management_port": 0})
        assert list(_bind_grpc(nobody_asked, stack)) == ["management"]
        done = start(server, f"grpc_inference_port={port}\ngrpc_management_port=0\n")
    complaint = f"grpc_inference_port http://127.0.0.1:{port} cannot be used: Address already in use; end what"
    (message,), (line,) = caplog.messages, done.stdout.splitlines()
    assert message.startswith(f"no inference by gRPC: {complaint}")
    assert (done.returncode, line.startswith(complaint)) == (1, True)


PROGRAMS = """
import asyncio, os, uvloop
from numserve.server.grpc import heedless_of_forks

async def main():
    with heedless_of_forks():
        import grpc.aio
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    for _ in range(2):
        await (await asyncio.create_subprocess_exec("true")).wait()
    await server.stop(0)

before = dict(os.environ)
uvloop.run(main())
assert before == os.environ
"""


def test_programs_are_started_without_a_word_of_grpcs():
    done = subprocess.run([sys.executable, "-c", PROGRAMS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("face", ["inference", "management"])
def test_other_machines_get_in_by_no_accident(server, face):
    done = start(server, f"grpc_{face}_address=0.0.0.0\n")
    assert done.returncode == 1
    assert f"grpc_{face}_address = http://0.0.0.0" in done.stdout
    assert "other machines get in, and nobody asks them for a token" in done.stdout


def test_a_connection_has_an_age(own, generated):
    client = own("grpc_inference_max_connection_age_ms=100\ngrpc_inference_max_connection_age_grace_ms=100\n")
    states = []
    client.channels["inference"].subscribe(states.append, try_to_connect=True)
    client.contract.eventually(lambda: states[-2:] == [grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE])
    assert client.inference.Ping(generated["inference_pb2"].google_dot_protobuf_dot_empty__pb2.Empty()).health


def make_certificate(folder):
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "chain.pem"]
    subprocess.run([*command, *SUBJECT], cwd=folder, check=True, capture_output=True, timeout=60)
    return "enable_grpc_ssl=true\nprivate_key_file=key.pem\ncertificate_file=chain.pem\n"


def test_by_tls_both_ports_are_served(own, generated, tmp_path):
    config = make_certificate(tmp_path)
    trusted = grpc.ssl_channel_credentials((tmp_path / "chain.pem").read_bytes())
    client = own(config, trusted)
    empty = generated["inference_pb2"].google_dot_protobuf_dot_empty__pb2.Empty()
    assert "Healthy" in client.inference.Ping(empty, timeout=60).health
    assert client.manage("ListModels") == '{\n  "models": []\n}'
    with grpc.insecure_channel(client.contract.addresses["grpc_inference"]) as plain:
        call = plain.unary_unary("/org.pytorch.serve.grpc.inference.InferenceAPIsService/Ping").future(b"", timeout=60)
        assert call.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("spoilt", [False, True])
def test_tls_without_files_that_can_be_used_stops_a_start(server, spoilt):
    config = "enable_grpc_ssl=true\ngrpc_inference_port=0\ngrpc_management_port=0\n"
    if spoilt:
        config += make_certificate(server.folder)
        (server.folder / "key.pem").write_text("no key")
    done = start(server, config)
    assert done.returncode == 1
    told = "private_key_file key.pem cannot be used" if spoilt else "enable_grpc_ssl needs private_key_file"
    assert told in done.stdout
