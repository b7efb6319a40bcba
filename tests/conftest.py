"""What tests with real processes share: a server of their own, through the command line."""

import gc
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
BIN = Path(sys.executable).parent

collect_ignore = [] if find_spec("grpc") else ["contract/grpc", "server/grpc", "examples/test_grpc.py"]
"""What needs the extra `grpc`, where it is not there: an environment for comparisons with PyTorch, for example."""
LIMIT = 30.0  # seconds an answer may take on a busy machine

settings.register_profile("quick", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quick")
"""The same examples each time, however long they take: a busy machine or a lucky draw must not decide what is green."""


def pytest_collection_finish() -> None:
    """Set aside what stays to the end, the tests themselves above all: each full collection would go through them."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let reports come over from the processes that run tests, which takes UTF-8: some handlers print none."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


class Server:
    """A numserve of this test's own: its folders, its ports, its command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.temp = folder / "tmp"
        for path in (self.store, self.temp):
            path.mkdir()
        self.config = folder / "config.properties"
        listeners = ("inference", "management", "metrics")
        addresses = "".join(f"{name}_address=http://127.0.0.1:0\n" for name in listeners)
        self.config.write_text(f"default_workers_per_model=1\nenable_grpc=false\n{addresses}")
        self.addresses: dict[str, str] = {}

    def run(self, command: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"TEMP": str(self.temp), "LOG_LOCATION": str(self.folder / "logs")}
        return subprocess.run(
            [str(BIN / command), *arguments], cwd=self.folder, env=env, capture_output=True, text=True, timeout=timeout
        )

    def archive(self, name: str, *arguments: str | Path, version: str = "1.0") -> None:
        """Pack <name>.mar into the store."""
        given = ("--model-name", name, "--version", version, "--export-path", self.store, "--force", *arguments)
        done = self.run("model-archiver", *map(str, given))
        assert done.returncode == 0, done.stderr

    def archive_digits(self, version: str) -> str:
        """Pack the example model; gives the archive's name, which tells the version."""
        self.archive(
            "digits", "--model-file", DIGITS / "model.py", "--serialized-file", DIGITS / "digits.pth",
            "--handler", DIGITS / "handler.py", "--extra-files", DIGITS / "index_to_name.json", version=version,
        )  # fmt: skip
        name = f"digits-{version}.mar"
        (self.store / "digits.mar").rename(self.store / name)
        return name

    def start(self, *models: str) -> None:
        """Start over the store and learn the addresses."""
        loaded = ("--models", *models) if models else ()
        done = self.run(
            "numserve", "--start", "--ncs", "--model-store", str(self.store), *loaded,
            "--ts-config", str(self.config), "--enable-model-api",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Model server started." in done.stdout
        self.addresses = json.loads(self.run("numserve", "status", "--json").stdout)["addresses"]

    def call(self, listener: str, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(self.addresses[listener] + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def predict(self, sample: bytes, path: str = "/predictions/digits") -> Any:
        status, body = self.call("inference", path, "PUT", sample)
        assert status == 200, body
        return json.loads(body)

    def describe(self) -> dict[str, Any]:
        status, body = self.call("management", "/models/digits")
        assert status == 200, body
        [description] = json.loads(body)
        return description

    def workers(self) -> list[int]:
        return [worker["pid"] for worker in self.describe()["workers"] if worker["status"] == "READY"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    mine = Server(tmp_path)
    yield mine
    mine.run("numserve", "--stop")
