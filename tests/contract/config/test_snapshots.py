"""Snapshots: written after each change, and restored by a start without a word (contract: configuration, section 8)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from numserve.server.properties import parse
from numserve.server.settings import Settings

ECHO = "def handle(data, context):\n    return [context.manifest['model']['modelVersion']] * len(data or [])\n"
NAMES = r"\d{17}-(startup|snapshot|shutdown)\.cfg"


@pytest.fixture
def echo(server):
    """A server with two versions of one model in its store, and no --ncs."""
    (server.folder / "echo.py").write_text(ECHO)
    for version in ("1.0", "2.0"):
        server.archive("echo", "--handler", server.folder / "echo.py", version=version)
        (server.store / "echo.mar").rename(server.store / f"echo-{version}.mar")
    text = server.config.read_text()
    server.config.unlink()
    server.config = server.folder / "named.properties"  # config.properties would be found, and go before a snapshot
    server.config.write_text(text + f"model_store={server.store}\nenable_model_api=true\n")
    return server


def begin(server, *arguments):
    done = server.run("numserve", "--start", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    server.addresses = json.loads(server.run("numserve", "status", "--json").stdout)["addresses"]
    return done


def snapshots(server):
    return sorted((server.folder / "logs" / "config").glob("*.cfg"))


def content(path):
    return {entry.key: entry.value for entry in parse(path.read_text(), {})}


def change(server, method, path):
    status, body = server.call("management", path, method)
    assert status == 200, body


def test_what_was_served_is_served_again(echo, deviates):
    deviates("newest snapshot as configuration")
    begin(echo, "--ts-config", str(echo.config))
    change(echo, "POST", "/models?url=echo-1.0.mar&initial_workers=1&batch_size=3&max_batch_delay=7&response_timeout=9")
    change(echo, "POST", "/models?url=echo-2.0.mar")
    change(echo, "PUT", "/models/echo/2.0/set-default")
    change(echo, "PUT", "/models/echo/1.0?min_worker=2&max_worker=3&synchronous=true")
    assert [re.fullmatch(NAMES, path.name)[1] for path in snapshots(echo)] == ["startup", *["snapshot"] * 4]
    echo.run("numserve", "--stop")

    last = snapshots(echo)[-1]
    told = content(last)
    assert last.name.endswith("-shutdown.cfg")
    assert (told["tsConfigFile"], told["model_store"]) == (str(echo.config), str(echo.store))
    assert json.loads(told["model_snapshot"])["models"]["echo"]["1.0"] == {
        "defaultVersion": False, "marName": "echo-1.0.mar", "minWorkers": 2, "maxWorkers": 3, "batchSize": 3,
        "maxBatchDelay": 7, "responseTimeout": 9, "startupTimeout": 120, "runtimeType": "python",
    }  # fmt: skip

    assert begin(echo).stdout.startswith(f"Restoring {last}; ")
    versions = json.loads(echo.call("management", "/models/echo/all")[1])
    first, second = sorted(versions, key=lambda one: str(one["modelVersion"]))  # they were loaded at the same time
    shown = {key: first[key] for key in ("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "responseTimeout")}
    assert list(shown.values()) == [2, 3, 3, 7, 9]
    assert (len(first["workers"]), second["minWorkers"], len(second["workers"])) == (2, 1, 1)
    assert echo.call("inference", "/predictions/echo", "PUT", b"x") == (200, b"2.0")


def test_a_snapshot_of_torchserve_is_a_configuration_file(echo):
    models = {"echo": {"2.0": {"defaultVersion": True, "marName": "echo-2.0.mar", "minWorkers": 1, "maxWorkers": 1,
                               "batchSize": 1, "maxBatchDelay": 100, "responseTimeout": 120, "runtimeType": "python"},
                       "9.0": {"marName": "gone.mar", "minWorkers": 1}}}  # fmt: skip
    snapshot = json.dumps({"name": "x.cfg", "modelCount": 2, "created": 1, "models": models}, indent=2)
    text = snapshot.replace("\\", "\\\\").replace("\n", "\\n").replace(":", "\\:")
    with echo.config.open("a") as file:
        file.write(f"load_models=all\nmodel_snapshot={text}\ntsConfigFile=x\nversion=0.12.0\n")
    done = begin(echo, "--ncs", "--ts-config", str(echo.config))
    assert "Failed to load model: gone.mar: Model not found at: gone.mar" in done.stdout
    assert echo.call("inference", "/predictions/echo", "PUT", b"x") == (200, b"2.0")
    assert [model["modelVersion"] for model in json.loads(echo.call("management", "/models/echo/all")[1])] == ["2.0"]
    assert snapshots(echo) == []


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a snapshot in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("LOG_LOCATION", "TS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    for folder in ("logs/config", "store", "other"):
        (tmp_path / folder).mkdir(parents=True)
    for name, size in (("20260101000000000-startup", 5), ("20260102000000000-shutdown", 6)):
        (tmp_path / "logs" / "config" / f"{name}.cfg").write_text(f"job_queue_size={size}\nmodel_store=store\n")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        ({}, 6),
        ({"model_store": "store"}, 6),
        ({"model_store": "other"}, 100),
        ({"config_snapshots": False}, 100),
        ({"load_models": "all"}, 100),
        ({"ts_config": "named"}, 7),
    ],
)
def test_the_newest_snapshot_counts_where_nothing_else_is_said(place, flags, size):
    (place / "named").write_text("job_queue_size=7\n")
    assert Settings.load(**flags).job_queue_size == size


def test_a_configuration_file_in_the_folder_goes_before_a_snapshot(place):
    (place / "config.properties").write_text("job_queue_size=8\n")
    assert Settings.load().job_queue_size == 8


def test_a_disk_that_takes_no_snapshot_stops_nothing(server):
    (server.folder / "not-a-folder").write_text("")
    server.config.write_text(server.config.read_text() + "log_location=not-a-folder\n")
    command = [
        str(Path(sys.executable).parent / "numserve"),
        "--foreground",
        "--model-store",
        str(server.store),
        "--ts-config",
        str(server.config),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "LOG_LOCATION"}
    with subprocess.Popen(
        command, cwd=server.folder, stdout=subprocess.PIPE, text=True, env=environment | {"TEMP": str(server.temp)}
    ) as process:
        assert process.stdout
        lines = []
        until = time.monotonic() + 60
        while "Model server started.\n" not in lines and time.monotonic() < until:
            lines.append(process.stdout.readline())
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert any("-startup.cfg cannot be written" in line for line in lines)
