"""Archives that are broken, or change while they are read; disks that are full, or cannot be written (rows 22-25)."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from numserve.archiver import ArchiveError, unpack

LIMIT = 60.0
ECHO = "def handle(rows, context):\n    return rows and [row['body'] for row in rows]\n"
HANDLER = "from pathlib import Path\n\nM = {marker!r}\n\n\ndef handle(rows, context):\n    told = Path(__file__).with_name('told.txt')\n    return rows and [f'{{M}} {{told.read_text()}}'] * len(rows)\n"  # noqa: E501


def write_archive(path, name, marker="1", padding=b"", handler=HANDLER):
    """An archive whose two files tell the same marker."""
    manifest = {"runtime": "python", "model": {"modelName": name, "modelVersion": "1.0", "handler": "handler.py"}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("handler.py", handler.format(marker=marker))
        archive.writestr("padding", padding)
        archive.writestr("told.txt", marker)
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
    return path


def register(site, file):
    return site.management("POST", f"/models?url={file}&initial_workers=1&synchronous=true")


def test_a_truncated_archive_is_refused(site):
    """Row 24: at every kB; nothing of it is registered."""
    whole = write_archive(site.server.store / "torn.mar", "torn", padding=os.urandom(20_000)).read_bytes()
    torn = site.server.store / "torn.mar"
    with site.traffic(pause=0.1) as traffic:
        for size in range(0, len(whole), 1024):
            torn.write_bytes(whole[:size])
            answer = register(site, "torn.mar")
            assert answer.error[:2] == (400, "InvalidModelException") and answer.error[2], size
    traffic.check()
    assert site.management("GET", "/models/torn").status == 404


def test_flipped_bits_are_found_or_harmless(tmp_path):
    """Row 24: an archive is refused with a reason, or holds what was packed."""
    whole = write_archive(tmp_path / "whole.mar", "flipped", padding=b"0123456789" * 50).read_bytes()
    unpack(tmp_path / "whole.mar", tmp_path / "expected")
    expected = files(tmp_path / "expected")
    draw, refused = random.Random(0), 0
    for _ in range(1000):
        place = draw.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        (tmp_path / "flipped.mar").write_bytes(flipped)
        try:
            unpack(tmp_path / "flipped.mar", tmp_path / "out")
        except ArchiveError as error:
            assert str(error)
            refused += 1
            assert not (tmp_path / "out").exists() or not files(tmp_path / "out")
        else:
            assert sorted(files(tmp_path / "out").values()) == sorted(expected.values()), place
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert refused > 800


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_archive_that_is_replaced_while_it_is_read_is_one_or_the_other(site):
    """Row 25: written over in place, too, which nobody should do."""
    store = site.server.store
    ends = threading.Event()

    def replace():
        number = 0
        while not ends.is_set():
            number += 1
            draft = write_archive(store / ".draft", "changing", f"{number}", os.urandom(5000))
            if number % 2:
                draft.replace(store / "changing.mar")
            else:
                shutil.copyfile(draft, store / "changing.mar")

    write_archive(store / "changing.mar", "changing", "0")
    replacing = threading.Thread(target=replace)
    served = 0
    with site.traffic(pause=0.1) as traffic:
        replacing.start()
        for _ in range(20):
            answer = register(site, "changing.mar")
            if answer.status == 200:
                first, second = site.post("/predictions/changing", b"x").body.split()
                assert first == second
                served += 1
                assert site.management("DELETE", "/models/changing").status == 200
            else:
                assert answer.error[:2] == (400, "InvalidModelException")
        ends.set()
        replacing.join()
    traffic.check()
    assert served


def test_a_store_that_is_gone_stops_nobody_who_serves(own):
    """Row 25: what is unpacked stays; who registers is told, until the store is back."""
    site = own().start()
    write_archive(site.server.store / "steady.mar", "steady", handler=ECHO)
    assert register(site, "steady.mar").status == 200
    write_archive(site.server.store / "late.mar", "late")
    site.server.store.rename(site.server.folder / "away")
    with site.traffic() as traffic:
        assert register(site, "late.mar").error[:2] == (404, "ModelNotFoundException")
        os.kill(site.workers("steady")[0], 9)
        traffic.more()
        (site.server.folder / "away").rename(site.server.store)
        assert register(site, "late.mar").status == 200
    traffic.check({"500", "503"})


def test_a_disk_without_room_refuses_the_archive(own, mounts):
    """Row 22: with 507; what is served goes on, and nothing of the archive stays."""
    site = own()
    site._within = (*mounts, f'mount -t tmpfs -o size=2m none {site.temp} && exec "$@"', "sh")
    site.start().model("steady", "obey", workers=1)
    write_archive(site.server.store / "large.mar", "large", padding=os.urandom(3 << 20))
    write_archive(site.server.store / "small.mar", "small")
    with site.traffic() as traffic:
        answer = register(site, "large.mar")
        assert (answer.status, answer.error[1]) == (507, "InternalServerException")
        assert register(site, "small.mar").status == 200
        traffic.more()
    traffic.check()
    assert site.management("GET", "/models/large").status == 404
    site.close()


def test_uploads_need_no_disk_and_a_download_without_room_is_told(own, mounts):
    """Row 22: bodies stay in memory, in parts and without; an archive that is fetched is refused with 507."""
    site = own()
    served = site.server.folder / "served"
    served.mkdir()
    write_archive(served / "large.mar", "large", padding=os.urandom(3 << 20))
    with http_server(served) as place:
        site.config += f"allowed_urls={place}/.*\n"
        site._within = (*mounts, f'mount -t tmpfs -o size=2m none {site.temp} && exec "$@"', "sh")
        site.start().model("steady", "obey", workers=1)
        (site.inside(site.temp) / "filler").write_bytes(bytes(1 << 20))
        part = b'--b\r\nContent-Disposition: form-data; name="body"; filename="f"\r\n\r\n%b\r\n--b--\r\n'
        with site.traffic() as traffic:
            for content in (bytes(3_000_000), os.urandom(3_000_000)):
                whole = site.post("/predictions/steady", content, "application/octet-stream")
                parts = site.post("/predictions/steady", part % content, "multipart/form-data; boundary=b")
                assert (whole.status, whole.body) == (parts.status, parts.body) == (200, content)
            answer = register(site, f"{place}/large.mar")
            assert (answer.status, answer.error[1]) == (507, "InternalServerException")
            traffic.more()
        traffic.check()
        assert site.management("GET", "/models/large").status == 404
        (site.inside(site.temp) / "filler").unlink()
        site.close()


@contextlib.contextmanager
def http_server(folder):
    """A folder by HTTP."""
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def test_logs_on_a_full_disk_are_dropped_and_counted(own):
    """Row 22: all that is served goes on; so do the logs, when there is room again."""
    site = own()
    logs = site.server.folder / "logs"
    logs.mkdir()
    for file in ("ts_log.log", "access_log.log", "model_log.log"):
        (logs / file).symlink_to("/dev/full")
    site.start(foreground=False).model("steady", "obey", workers=1)
    with site.traffic() as traffic:
        assert site.order("steady", print={"times": 10, "line": "lost\n"}, answer="x").status == 200
        traffic.more(50)
        site.eventually(lambda: site.metric("numserve_log_lines_dropped_total") > 0)
    traffic.check()


@pytest.mark.parametrize("missing", ["HOME", "logs", "TEMP"])
def test_what_cannot_be_written_is_done_without_or_named(own, missing):
    """Row 23: a folder that is none stands for one that cannot be made, also for root."""
    site = own()
    nowhere = "/dev/null/nowhere"
    if missing == "HOME":
        site._environment = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere}
        site.start().model("steady", "obey", workers=1)
        with site.traffic() as traffic:
            traffic.more()
        traffic.check()
        return
    site._environment = {"LOG_LOCATION": nowhere} if missing == "logs" else {"TEMP": nowhere}
    site.start(foreground=missing == "TEMP", wait=False)
    assert site.ends(None) == 1
    said = site.said().strip().splitlines()
    assert len(said) == 1 and nowhere in said[0], said


def test_a_read_only_file_system_with_a_place_for_temporary_files_is_enough(own, mounts):
    """Row 23: as containers have it."""
    site = own(environment={"HOME": "/"})
    script = f'mount -t tmpfs none {site.temp} && mount -o remount,bind,ro / && exec "$@"'
    site._within = (*mounts, script, "sh")
    site.start().model("steady", "obey", workers=1)
    assert not os.access(site.inside(site.server.folder) / "logs", os.W_OK)
    with site.traffic() as traffic:
        traffic.more()
    traffic.check()
    site.close()


def test_an_installation_under_way_ends_with_a_server_that_is_killed(own):
    """Row 26: pip, which waits for an index that never answers, and all that it has started."""
    site = own("install_py_dep_per_model=true\n")
    site.config += f"model_environments={site.server.folder / 'environments'}\n"
    site.start()
    with socket.create_server(("127.0.0.1", 0)) as index, ThreadPoolExecutor() as pool:
        index.settimeout(LIMIT)
        folder = site.server.store / "waiting"
        (folder / "MAR-INF").mkdir(parents=True)
        (folder / "handler.py").write_text(ECHO)
        (folder / "needs.txt").write_text(f"--index-url http://127.0.0.1:{index.getsockname()[1]}/\nnothing\n")
        model = {"modelName": "waiting", "handler": "handler.py", "requirementsFile": "needs.txt"}
        (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"runtime": "python", "model": model}))
        registering = pool.submit(register, site, "waiting")
        with index.accept()[0]:
            assert len(site.alive()) >= 3  # the server, pip, and what holds it
            assert site.ends(signal.SIGKILL) == -signal.SIGKILL
            with pytest.raises((OSError, HTTPException)):
                registering.result()
            site.eventually(lambda: not site.alive())
    assert not list(site.temp.glob("pip-*"))
    site.start()  # which removes what the other has unpacked
