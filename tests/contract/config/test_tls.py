"""Listeners by TLS, with PEM files (contract: configuration, section 9)."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import urllib.request

import pytest

SUBJECT = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@pytest.fixture
def secured(server):
    """A server whose management listener speaks TLS; its key and certificate are in its folder."""
    openssl(
        server, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "chain.pem", *SUBJECT
    )
    with server.config.open("a") as file:
        file.write("management_address=https://127.0.0.1:0\nprivate_key_file=key.pem\ncertificate_file=chain.pem\n")
    return server


def openssl(server, *arguments):
    subprocess.run(["openssl", *arguments], cwd=server.folder, check=True, capture_output=True, timeout=60)


def start(server):
    return server.run("numserve", "--start", "--ncs", "--model-store", "store", "--ts-config", str(server.config))


@needs_openssl
def test_a_listener_speaks_tls(secured):
    secured.start()
    address = secured.addresses["management"].replace("127.0.0.1", "localhost")
    assert address.startswith("https://")
    trusted = ssl.create_default_context(cafile=str(secured.folder / "chain.pem"))
    with urllib.request.urlopen(f"{address}/models", timeout=30, context=trusted) as answer:
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    trusted.maximum_version = ssl.TLSVersion.TLSv1_2
    with urllib.request.urlopen(f"{address}/models", timeout=30, context=trusted) as answer:
        assert answer.status == 200
    with pytest.raises(OSError):
        urllib.request.urlopen(address.replace("https", "http") + "/models", timeout=30)
    assert secured.run("numserve", "status").stdout.startswith("running, pid ")
    assert secured.run("numserve", "models", "--url", address).returncode == 1  # the system does not know it


@needs_openssl
def test_a_key_that_cannot_be_used_stops_the_start(secured):
    openssl(secured, "genrsa", "-out", "key.pem", "2048")
    other = start(secured)
    openssl(secured, "genrsa", "-aes128", "-passout", "pass:secret", "-out", "key.pem", "2048")
    locked = start(secured)
    assert (other.returncode, locked.returncode) == (1, 1)
    assert "private_key_file key.pem cannot be used: KEY_VALUES_MISMATCH" in other.stdout
    assert "the key is encrypted" in locked.stdout


def test_https_without_its_files_says_how_to_make_them(server, deviates):
    deviates("throw-away certificate")
    deviates("`keystore`")
    with server.config.open("a") as file:
        file.write("metrics_address=https://127.0.0.1:0\nkeystore=k.p12\n")
    done = start(server)
    assert done.returncode == 1
    assert "https needs private_key_file and certificate_file" in done.stdout
    assert "openssl pkcs12" in done.stdout
