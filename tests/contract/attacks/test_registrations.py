"""What an operator's client can ask to be registered: no address is asked that is not allowed, no archive does harm."""

import contextlib
import io
import json
import socket
import struct
import tarfile
import threading
import warnings
import zipfile
from urllib.parse import quote, urlencode

import pytest


def register(victim, **parameters):
    return victim.contract.management("POST", f"/models?{urlencode({'synchronous': 'true'} | parameters)}")


@pytest.fixture
def service():
    """A service of this machine that nobody should ask: its port, and who has come."""
    callers = []
    with socket.create_server(("", 0)) as listening:

        def note():
            with contextlib.suppress(OSError):
                while True:
                    connection, address = listening.accept()
                    connection.close()
                    callers.append(address)

        thread = threading.Thread(target=note)
        thread.start()
        yield listening.getsockname()[1], callers
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


PLACES = [
    "http://127.0.0.1:{}/x.mar", "http://localhost:{}/x.mar", "http://0x7f.1:{}/x.mar", "http://2130706433:{}/x.mar",
    "http://0177.0.0.1:{}/x.mar", "http://127.1:{}/x.mar", "http://0:{}/x.mar", "http://[::ffff:127.0.0.1]:{}/x.mar",
    "http://[::1]:{}/x.mar", "https://127.0.0.1:{}/x.mar", "HTTP://127.0.0.1:{}/x.mar", "http://a@127.0.0.1:{}/x.mar",
    "ftp://127.0.0.1:{}/x.mar", "gopher://127.0.0.1:{}/x.mar", "//127.0.0.1:{}/x.mar", "http:\\\\127.0.0.1:{}/x.mar",
    " http://127.0.0.1:{}/x.mar", "http://127.0.0.1:{}/x.mar#.mar", "jar:http://127.0.0.1:{}/x.mar!/",
    "http://169.254.169.254/latest/meta-data/x.mar", "file:///etc/passwd", "file://localhost/etc/passwd", "/etc/passwd",
    "https://evil/..%2f..%2fx.mar", "https://evil/%2e%2e/x.mar", "..%2fx.mar", "x\0.mar", "....//x.mar",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_fetched_that_was_not_allowed(victim, service, place):
    port, callers = service
    answer = register(victim, url=place.format(port))
    assert answer.status in (400, 403, 404), answer.body
    assert not callers and b"root:" not in answer.body
    assert register(victim, url="x.mar").status == 404  # nor is anything of it in the store


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "n" * 300, "a\x9b", "a\nb", " ", "\x1b[2J", "a\0b", "%2e%2e"])
def test_no_model_is_called_what_a_path_or_a_page_could_take_for_something_else(victim, name):
    answer = register(victim, url="tell-1.0", model_name=name)
    assert answer.status == 400 and "name" in answer.error[2].lower(), answer.body
    version = register(victim, url="tell-1.0", model_name="other", handler="../../evil.py")
    assert version.status >= 400


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in files:
            archive.writestr(name, content)
    return made.getvalue()


def manifest(**model):
    return "MAR-INF/MANIFEST.json", json.dumps({"model": {"modelName": "evil", "handler": "h.py"} | model})


HANDLER = ("h.py", "def handle(data, context):\n    return data\n")
GOOD = [manifest(), HANDLER]


def tarred(member, **changes):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo(member)
        for name, value in changes.items():
            setattr(info, name, value)
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    return made.getvalue()


def many(count):
    record = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    return record * count + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, len(record) * count, 0, 0)


BILLION = "a0: &a0 [1,1]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
ARCHIVES = {
    "a path out of it": zipped([*GOOD, ("../evil.py", "")]),
    "an absolute path": zipped([*GOOD, ("/tmp/evil.py", "")]),
    "a path of windows": zipped([*GOOD, ("C:\\evil.py", "")]),
    "a path that becomes one": zipped([*GOOD, ("\uff0e\uff0e/evil.py", "")]),
    "one name twice": zipped([*GOOD, HANDLER]),
    "zeros without end": zipped([*GOOD, ("zeros", bytes(64 << 20))]),
    "a million members": many(1_000_000),
    "a zip behind a program": b"#!/bin/sh\n" + zipped(GOOD),
    "bytes behind it": zipped(GOOD) + b"x",
    "half of it": zipped(GOOD)[:200],
    "a link": tarred("top/x", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": tarred("top/x", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "a device": tarred("top/x", type=tarfile.CHRTYPE),
    "no handler": zipped([("MAR-INF/MANIFEST.json", "{}")]),
    "a handler elsewhere": zipped([manifest(handler="../../../evil.py"), HANDLER]),
    "a handler that is not there": zipped([manifest(handler="other.py"), HANDLER]),
    "a manifest in latin-1": zipped([("MAR-INF/MANIFEST.json", b'{"model": {"modelName": "\xe9"}}'), HANDLER]),
    "a manifest that is nested": zipped([("MAR-INF/MANIFEST.json", b"[" * 100_000), HANDLER]),
    "a manifest of names": zipped([manifest(modelName="../../x"), HANDLER]),
    "a YAML that makes objects": zipped(
        [manifest(configFile="c.yaml"), HANDLER, ("c.yaml", 'a: !!python/object/apply:os.mkdir ["{canary}"]')]
    ),
    "a YAML of aliases": zipped(
        [
            manifest(configFile="c.yaml"), HANDLER,
            ("c.yaml", BILLION),
        ]
    ),
    "a YAML of ten million letters": zipped(
        [manifest(configFile="c.yaml"), HANDLER, ("c.yaml", "a: " + "b" * 10_000_000)], zipfile.ZIP_STORED
    ),
    "a YAML outside": zipped([manifest(configFile="../../c.yaml"), HANDLER]),
    "requirements outside": zipped([manifest(requirementsFile="/etc/passwd"), HANDLER]),
}  # fmt: skip


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_made_to_do_harm_is_refused_whole(victim, canary, archive):
    server = victim.contract.server
    kind = "mar" if archive[:2] != b"\x1f\x8b" else "tar.gz"
    (server.store / f"evil.{kind}").write_bytes(archive.replace(b"{canary}", canary().encode()))
    seconds, memory = victim.seconds(), victim.bytes()
    before = sorted(server.temp.rglob("*"))
    try:
        answer = register(victim, url=f"evil.{kind}", initial_workers=1)
        assert 400 <= answer.status < 500 or answer.error[1] == "InternalServerException", answer.body
        assert victim.contract.management("GET", "/models/evil").status == 404
        assert sorted(server.temp.rglob("*")) == before
        assert victim.seconds() - seconds < 20 and victim.bytes() - memory < 128 << 20
    finally:
        (server.store / f"evil.{kind}").unlink()


def test_a_url_in_a_request_is_text_to_a_handler(victim, service):
    port, callers = service
    url = f"http://127.0.0.1:{port}/x.jpg"
    told = victim.contract.json("/predictions/tell", {"image": url})
    assert told.json()["row"]["body"][1] == {"image": url} and not callers


def test_a_description_tells_predictors_of_no_place(victim):
    answer = victim.contract.request("OPTIONS", "/predictions/tell")
    assert answer.status == 200 and str(victim.contract.server.folder).encode() not in answer.body
    assert (
        victim.contract.request("GET", f"/models/{quote('tell')}").status == 404
    )  # only the management listener says more
