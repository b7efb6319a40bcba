"""Every command of docs/migrate.md, in its order, over a TorchServe installation of one model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migrate.md").read_text()
INSTALLED = "/opt/torchserve"
PORTS = {"8080": "inference", "8081": "management", "8082": "metrics"}


def blocks(kind: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [text for each, text in found if each == kind]


@pytest.fixture
def run(tmp_path):
    """Run a line of the page over the installation in a folder of this test's own."""
    for folder in ("model-store", "tmp"):
        (tmp_path / folder).mkdir()
    (config,) = blocks("properties")
    config = re.sub(r":(808\d)\n", ":0\n", config.replace(INSTALLED, str(tmp_path)))
    (tmp_path / "config.properties").write_text(f"{config}default_workers_per_model=1\n")
    bin = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{bin}:{os.environ['PATH']}", "TEMP": str(tmp_path / "tmp"), "LOG_LOCATION": str(tmp_path / "logs"),
    }  # fmt: skip

    def run(line):
        line = line.replace(INSTALLED, str(tmp_path))
        if line.startswith("curl"):
            status = json.loads(run("numserve status --json").stdout)
            line = re.sub(
                r"http://127.0.0.1:(\d+)", lambda found: status["addresses"][PORTS[found[1]]], line + " -s -S --fail"
            )
        return subprocess.run(line, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)

    packed = run(
        "model-archiver --model-name digits --version 1.0 --model-file examples/digits/model.py "
        "--serialized-file examples/digits/digits.pth --handler examples/digits/handler.py "
        f"--extra-files examples/digits/index_to_name.json --export-path {tmp_path}/model-store"
    )
    assert packed.returncode == 0, packed.stderr
    yield run
    run("numserve stop")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl")
def test_every_command_of_the_page_works(run):
    lines = [line for block in blocks("") for line in block.splitlines() if line != "pip install ."]
    answers = {line: run(line) for line in lines}
    for line, done in answers.items():
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    told = "".join(done.stdout for done in answers.values())
    for expected in (
        "line 8: vmargs is not served",
        "works  digits.mar: loads in",
        "digits 1.0: ready, 1/1",
        '"7": 0.99',
    ):
        assert expected in told
    assert told.endswith("numserve has stopped.\n")


def test_the_probes_of_the_page_are_answered(run):
    assert run(f"numserve start --ts-config {INSTALLED}/config.properties").returncode == 0
    (probes,) = map(yaml.safe_load, blocks("yaml"))
    for probe in probes.values():
        asked = probe["httpGet"]
        assert run(f"curl http://127.0.0.1:{asked['port']}{asked['path']}").returncode == 0


def test_nothing_of_the_installation_is_changed(run, tmp_path):
    def content():
        files = [tmp_path / "config.properties", *(tmp_path / "model-store").iterdir()]
        return {path.name: path.read_bytes() for path in files}

    before = content()
    for line in ("doctor", "start --ts-config"):
        assert run(f"numserve {line} {INSTALLED}/config.properties").returncode == 0
    assert run("numserve stop").returncode == 0
    assert content() == before
