"""SIGHUP: certificates and log files are looked at anew, and nobody who is connected notices."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from urllib.parse import urlsplit

import pytest

LIMIT = 60.0
KINDS = {"rsa": ("rsa:2048",), "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")}


def until(true):
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def hang_up(server):
    """`hang_up()` has the server look anew, as `kill -HUP` does."""

    def now():
        os.kill(json.loads(server.run("numserve", "status", "--json").stdout)["pid"], signal.SIGHUP)

    return now


@pytest.fixture
def asking(server):
    """`asking()` asks by the same connection each time, and gives the status and what becomes of the connection."""
    with contextlib.ExitStack() as stack:
        connections = []

        def ask():
            if not connections:
                where = urlsplit(server.addresses["management"])
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                kind = (http.client.HTTPSConnection, {"context": context}), (http.client.HTTPConnection, {})
                made, more = kind[where.scheme == "http"]
                connections.append(stack.enter_context(contextlib.closing(made(where.netloc, timeout=LIMIT, **more))))
            connections[0].request("GET", "/models")
            with connections[0].getresponse() as answer:
                answer.read()
                return answer.status, answer.headers["connection"]

        yield ask


def certify(folder, kind):
    command = ("openssl", "req", "-x509", "-newkey", *KINDS[kind], "-nodes", "-keyout", "key.pem", "-out", "chain.pem")
    subprocess.run([*command, "-subj", "/CN=localhost"], cwd=folder, check=True, capture_output=True, timeout=LIMIT)
    return ssl.PEM_cert_to_DER_cert((folder / "chain.pem").read_text())


def shown(server):
    """The certificate that a new connection is shown which names no server."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    where = urlsplit(server.addresses["management"])
    with (
        socket.create_connection((where.hostname, where.port), timeout=LIMIT) as plain,
        context.wrap_socket(plain) as connection,
    ):
        return connection.getpeercert(binary_form=True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_a_certificate_is_renewed_also_by_one_of_another_kind(server, hang_up, asking):
    first = certify(server.folder, "rsa")
    with server.config.open("a") as file:
        file.write("management_address=https://127.0.0.1:0\nprivate_key_file=key.pem\ncertificate_file=chain.pem\n")
    server.start()
    assert asking() == (200, "keep-alive") and shown(server) == first
    second = certify(server.folder, "ec")
    hang_up()
    until(lambda: shown(server) == second)
    (server.folder / "key.pem").write_text("no key")
    hang_up()
    log = server.folder / "logs" / "ts_log.log"
    until(lambda: "the certificate stays in use" in log.read_text())
    assert asking() == (200, "keep-alive") and shown(server) == second


def test_log_files_may_be_moved_away(server, hang_up, asking):
    server.start()
    assert asking() == (200, "keep-alive")
    log = server.folder / "logs" / "ts_log.log"
    log.rename(log.with_suffix(".1"))
    hang_up()
    until(log.is_file)
    assert asking() == (200, "keep-alive")
    server.run("numserve", "--stop")
    assert "stopped" in log.read_text()
