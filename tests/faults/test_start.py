"""Servers that cannot start, and certificates that change while one serves (rows 21, 45, 47)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
from urllib.parse import urlsplit

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
SUBJECT = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")


def certify(folder, number=1):
    """A key and a certificate that bears a number, in place of those before."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "new.key", "-out", "new.chain",
         "-set_serial", str(number), *SUBJECT],
        cwd=folder, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (folder / "new.key").replace(folder / "key.pem")
    (folder / "new.chain").replace(folder / "chain.pem")


TLS = "metrics_address=https://127.0.0.1:0\nprivate_key_file=key.pem\ncertificate_file=chain.pem\n"
BAD = {
    "a port in use": "inference_address=http://127.0.0.1:{port}\n",
    "a key that is none": TLS,
    "a key that is not there": TLS.replace("key.pem", "nowhere.pem"),
    "a number that is none": "job_queue_size=many\n",
    "an address that is none": "inference_address=http://127.0.0.1:port\n",
    "tokens that are not there": "token_file=nowhere\n",
}


@pytest.mark.parametrize("what", BAD)
def test_a_start_that_fails_says_why_in_a_line(own, what):
    """Row 45: and tells the shell."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        site = own(BAD[what].format(port=taken.getsockname()[1]))
        for file in ("key.pem", "chain.pem"):
            (site.server.folder / file).write_text("no PEM\n")
        site.start(wait=False)
        code = site.ends(None)
    said = site.said().strip()
    assert code == 1 and said and "\n" not in said and "Traceback" not in said, said


@needs_openssl
def test_a_new_certificate_is_used_as_soon_as_it_is_there(own):
    """Row 47: by new connections; those that are open go on."""
    site = own(TLS.replace("metrics", "management"))
    certify(site.server.folder, 1)
    site.start()
    where = urlsplit(site.addresses["management"])
    with connected(where) as before:
        assert serial(before) == 1
        certify(site.server.folder, 2)
        site.eventually(lambda: _serial_now(where) == 2)
        before.sendall(b"GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert before.recv(100).startswith(b"HTTP/1.1 200 ")
        (site.server.folder / "chain.pem").write_text("torn\n")
        site.lines("stays in use")
        assert _serial_now(where) == 2


@needs_openssl
def test_a_flood_that_never_begins_with_tls_takes_nobodys_descriptors(own):
    """Row 21: those who wait to shake hands count as who has."""
    site = own(TLS, within=("sh", "-c", 'ulimit -n 256 && exec "$@"', "sh"))
    certify(site.server.folder, 1)
    site.start().model("steady", "obey")
    where = urlsplit(site.addresses["metrics"])
    with site.traffic() as traffic, contextlib.ExitStack() as until:
        before = site.now().descriptors
        silent = [until.enter_context(socket.create_connection((where.hostname, where.port))) for _ in range(600)]
        assert silent[-1].recv(1) == b""
        assert site.now().descriptors < before + 100
        assert site.obey() and site.order(answer="a new worker").body == b"a new worker"
        traffic.more()
        until.close()
        site.eventually(lambda: site.now().descriptors <= before + 10)
        with connected(where) as connection:
            assert serial(connection) == 1
    traffic.check()


def connected(where):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection((where.hostname, where.port), timeout=60)
    return context.wrap_socket(plain)


def serial(connection):
    """The number that the server's certificate bears."""
    pem = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True))
    told = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem, capture_output=True, text=True)
    return int(told.stdout.strip().removeprefix("serial="), 16)


def _serial_now(where):
    with connected(where) as connection:
        return serial(connection)
