"""Packages of a model's own (contract: workers, section 7), with wheels that are made here and no network."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import json
import logging
import zipfile
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from numserve.server.environments import Environments, key_of, packages_of
from numserve.server.errors import EnvironmentFailed, ServingError

HANDLER = """
import numpy
import greeting

def handle(data, context):
    return [f"{greeting.WORD} {numpy.__name__}"] * len(data or [])
"""
FOUND_HERE = "--no-index\n--find-links .\n"


def wheel(folder, name, version, source):
    """A wheel of one module."""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", source)
        info = f"{name}-{version}.dist-info"
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/entry_points.txt", f"[console_scripts]\nsay-{name} = {name}:main\n")
        file.writestr(f"{info}/RECORD", "")


def archive(store, name, requirements, handler=HANDLER, word="hello", version="1.0"):
    """An archive that is a folder, with a wheel in it."""
    made = store / name
    (made / "MAR-INF").mkdir(parents=True)
    (made / "h.py").write_text(handler)
    (made / "needs.txt").write_text(requirements)
    (made / "c.yaml").write_text("useVenv: true\n")
    wheel(made, "greeting", version, f"WORD = {word!r}\n")
    entry = {"modelName": name, "handler": "h.py", "requirementsFile": "needs.txt", "configFile": "c.yaml"}
    (made / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"runtime": "python", "model": entry}))
    return made


def environments(installing):
    return sorted(path.name for path in (installing.server.folder / "environments").glob("*") if path.is_dir())


def register(installing, name):
    query = urlencode({"url": name, "initial_workers": 1, "synchronous": "true"})
    return installing.request("POST", f"/models?{query}", listener="management")


def predicted(installing, name):
    return installing.request("POST", f"/predictions/{name}", b"x").body


@pytest.fixture
def store(installing):
    return installing.server.store


def test_each_model_has_the_packages_that_it_asks_for(installing, store):
    archive(store, "first", FOUND_HERE + "greeting==1.0\n")
    archive(store, "second", FOUND_HERE + "greeting\n", word="good day", version="2.0")

    assert register(installing, "first").status == register(installing, "second").status == 200
    assert predicted(installing, "first") == b"hello numpy"
    assert predicted(installing, "second") == b"good day numpy"
    assert importlib.util.find_spec("greeting") is None
    assert installing.management("GET", "/models/first").json()[0]["useVenv"] is True


def test_its_packages_come_before_those_of_the_server(installing, store):
    handler = "import click\n\ndef handle(data, context):\n    return [click.WORD] * len(data or [])\n"
    wheel(archive(store, "newer", FOUND_HERE + "click>=99\n", handler), "click", "99.0", "WORD = 'mine'\n")

    assert register(installing, "newer").status == 200
    assert predicted(installing, "newer") == b"mine"


def test_the_same_requirements_are_installed_once(installing, store):
    for name in ("one", "other"):
        archive(store, name, FOUND_HERE + "greeting\n", word="shared", version="3.0")
    before = environments(installing)

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda name: register(installing, name), ("one", "other")))

    assert [answer.status for answer in answers] == [200, 200]
    assert len(environments(installing)) == len(before) + 1
    assert predicted(installing, "one") == predicted(installing, "other") == b"shared numpy"


def test_what_cannot_be_installed_is_told_with_what_pip_said(installing, store):
    archive(store, "lacking", FOUND_HERE + "no-such-package==7\n")
    before = environments(installing)

    answer = register(installing, "lacking")

    message = "Custom pip package installation failed for model lacking"
    assert answer.error == (400, "ModelException", message)
    assert "No matching distribution found for no-such-package==7" in answer.json()["detail"]
    assert environments(installing) == before
    assert installing.management("GET", "/models/lacking").status == 404


def test_scripts_begin_with_the_interpreter_where_it_is(installing, store):
    archive(store, "scripted", FOUND_HERE + "greeting\n", version="4.0")
    before = set(environments(installing))
    assert register(installing, "scripted").status == 200

    (made,) = set(environments(installing)) - before
    folder = installing.server.folder / "environments" / made
    assert (folder / "bin" / "say-greeting").read_text().startswith(f"#!{folder}/bin/python\n")


# What no client sees


@pytest.fixture
def model_dir(tmp_path):
    return archive(tmp_path, "model", FOUND_HERE + "greeting\n")


async def test_those_who_need_the_same_at_once_wait_for_each_other(tmp_path, model_dir, caplog):
    caplog.set_level(logging.INFO, "numserve.server.environments")
    makers = [Environments(tmp_path / "root", 60) for _ in range(3)]

    found = await asyncio.gather(*(maker.python_for("m", model_dir, "needs.txt") for maker in makers))

    assert len(set(found)) == 1 and len(caplog.records) == 1
    assert packages_of(found[0].parents[1]).joinpath("greeting.py").is_file()


async def test_what_takes_too_long_is_ended_and_leaves_nothing(tmp_path, model_dir):
    with pytest.raises(EnvironmentFailed, match="failed for model m") as caught:
        await Environments(tmp_path / "root", 0.05).python_for("m", model_dir, "needs.txt")

    assert "it took more than 0.05 s (model_environment_timeout)" in caught.value.detail
    assert not [path for path in (tmp_path / "root").iterdir() if path.is_dir()]


async def test_who_gives_up_leaves_nothing_and_lets_the_next_one_in(tmp_path, model_dir):
    maker = Environments(tmp_path / "root", 60)
    task = asyncio.create_task(maker.python_for("m", model_dir, "needs.txt"))
    while not list(tmp_path.glob("root/*.partial")):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not [path for path in (tmp_path / "root").iterdir() if path.is_dir()]
    assert (await maker.python_for("m", model_dir, "needs.txt")).exists()


async def test_what_a_crash_has_left_is_removed_unless_somebody_is_at_it(tmp_path, model_dir):
    root = tmp_path / "root"
    for name in ("left", "held"):
        (root / f"{name}.partial" / "bin").mkdir(parents=True)
    root.chmod(0o700)
    with (root / "held.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        await Environments(root, 60).python_for("m", model_dir, "needs.txt")

    assert [path.name for path in root.glob("*.partial")] == ["held.partial"]


async def test_a_folder_that_others_may_write_to_is_refused(tmp_path, model_dir):
    for folder in ("root", "parent"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder).chmod(0o777)

    for root in ("root", "parent/own"):
        with pytest.raises(ServingError, match="others may write to it or replace it"):
            await Environments(tmp_path / root, 60).python_for("m", model_dir, "needs.txt")


def test_what_would_be_installed_names_the_environment(tmp_path, model_dir):
    same = archive(tmp_path, "same", FOUND_HERE + "greeting\n", handler="# another\n")
    key = key_of(model_dir, "needs.txt")
    for path in model_dir.glob("*.whl"):
        (same / path.name).write_bytes(path.read_bytes())
    assert key_of(same, "needs.txt") == key

    wheel(same, "greeting", "1.0", "WORD = 'changed'\n")
    assert key_of(same, "needs.txt") != key

    (model_dir / "needs.txt").write_text("./part\n")
    local = key_of(model_dir, "needs.txt")
    (model_dir / "part").mkdir()
    (model_dir / "part" / "setup.py").write_text("")
    assert len({key, local, key_of(model_dir, "needs.txt")}) == 3


@pytest.mark.parametrize(
    "line", ["greeting", "greeting==1.0", "-e .", "-e /tmp", "git+https://127.0.0.1/x.git", "./greeting-1.0.tar.gz"]
)
async def test_where_hashes_are_asked_for_nothing_else_is_installed(tmp_path, line):
    made = archive(tmp_path, "m", f"{FOUND_HERE}{line}\n")
    maker = Environments(tmp_path / "root", 120, only_pinned=True)
    with pytest.raises(EnvironmentFailed):
        await maker.python_for("m", made, "needs.txt")
    assert not [path for path in (tmp_path / "root").iterdir() if path.is_dir()]


async def test_a_package_with_its_hash_is_installed(tmp_path):
    made = archive(tmp_path, "m", "")
    digest = hashlib.sha256((made / "greeting-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    (made / "needs.txt").write_text(f"{FOUND_HERE}greeting==1.0 --hash=sha256:{digest}\n")
    python = await Environments(tmp_path / "root", 120, only_pinned=True).python_for("m", made, "needs.txt")
    assert (packages_of(python.parent.parent) / "greeting.py").is_file()
    (made / "needs.txt").write_text(f"{FOUND_HERE}greeting==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(EnvironmentFailed) as caught:
        await Environments(tmp_path / "root", 120, only_pinned=True).python_for("m", made, "needs.txt")
    assert "hash" in caught.value.detail.lower()
