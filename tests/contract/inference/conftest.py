"""One server with real workers for all of the inference contract; models are registered when a test asks for them."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import yaml
from numserve.archiver import ModelArchiverConfig, pack

HERE = Path(__file__).parent
ROOT = HERE.parent.parent.parent
LIMIT = 60.0  # seconds an answer may take on a busy machine


@dataclass
class Answer:
    """What came back."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, found
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, type and message of an error in TorchServe's shape."""
        told = self.json()
        assert told["code"] == self.status and self.body.endswith(b"}\n"), self.body
        return self.status, told["type"], told["message"]


class Contract:
    """A server, its models, and three ways to speak to it: a request, an order to `steer`, and raw bytes."""

    def __init__(self, server: Any, addresses: dict[str, str]) -> None:
        self.server = server
        self.addresses = addresses
        self.handlers = HERE / "handlers"
        self._served: dict[str, dict[str, Any]] = {}

    def model(
        self, name: str, handler: str | None = None, *, version: str = "1.0", envelope: str | None = None,
        workers: int = 1, model_file: str | None = None, **config: Any,
    ) -> str:  # fmt: skip
        """Pack and register a model unless it is served already; keywords go to its YAML. Gives its name."""
        wanted = {"handler": handler or name, "envelope": envelope, "workers": workers, **config}
        key = f"{name}-{version}"
        if key in self._served:
            assert self._served[key] == wanted, f"{key} is served in another way already"
            return name
        url = self._pack(name, version, handler or name, envelope, model_file, config)
        query = urlencode({"url": url, "initial_workers": workers, "synchronous": "true"})
        answer = self.request("POST", f"/models?{query}", listener="management")
        assert answer.status == 200, answer.body
        if not workers:  # which a registration takes for "as configured"
            assert self.management("PUT", f"/models/{name}/{version}?min_worker=0&synchronous=true").status == 200
        self._served[key] = wanted
        return name

    def _pack(
        self,
        name: str,
        version: str,
        handler: str,
        envelope: str | None,
        model_file: str | None,
        config: dict[str, Any],
    ) -> str:
        own = self.handlers / f"{handler}.py"
        config_file = self.server.folder / f"{name}-{version}.yaml"
        config_file.write_text(yaml.safe_dump(config))
        made = pack(
            ModelArchiverConfig(
                model_name=f"{name}-{version}", version=version, handler=str(own) if own.is_file() else handler,
                model_file=str(self.handlers / f"{model_file}.py") if model_file else None,
                config_file=str(config_file) if config else None, export_path=str(self.server.store),
                archive_format="no-archive", force=True,
            )
        )  # fmt: skip
        manifest = made / "MAR-INF" / "MANIFEST.json"
        said = json.loads(manifest.read_text())
        said["model"] |= {"modelName": name} | ({"envelope": envelope} if envelope else {})
        manifest.write_text(json.dumps(said))
        return made.name

    def connect(self, listener: str = "inference") -> http.client.HTTPConnection:
        where = urlsplit(self.addresses[listener])
        return http.client.HTTPConnection(where.hostname or "", where.port, timeout=LIMIT)

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None,
        listener: str = "inference",
    ) -> Answer:  # fmt: skip
        """One request on a connection of its own."""
        with contextlib.closing(self.connect(listener)) as connection:
            connection.request(method, path, body, headers or {})
            got = connection.getresponse()
            return Answer(got.status, got.reason, got.getheaders(), got.read())

    def post(self, path: str, body: bytes | str = b"", content_type: str | None = None, **headers: str) -> Answer:
        return self.request("POST", path, body, headers | ({"Content-Type": content_type} if content_type else {}))

    def json(self, path: str, content: Any, **headers: str) -> Answer:
        return self.post(path, json.dumps(content), "application/json", **headers)

    def steer(self, **order: Any) -> Answer:
        """Have the model `steer` answer as ordered."""
        return self.json(f"/predictions/{self.model('steer')}", order)

    def told(self, path: str = "/predictions/tell", body: bytes | str = b"", **request: Any) -> Any:
        """What the handler of the model `tell` was given."""
        self.model("tell")
        answer = self.post(path, body, **request)
        assert answer.status == 200, answer.body
        return answer.json()

    def raw(self, sent: bytes, until_closed: bool = True) -> bytes:
        """What comes back for these bytes: until the server closes, or the first that comes."""
        where = urlsplit(self.addresses["inference"])
        with socket.create_connection((where.hostname, where.port), timeout=LIMIT) as connection:
            connection.sendall(sent)
            received = b""
            while piece := connection.recv(1 << 16):
                received += piece
                if not until_closed:
                    break
            return received

    def forget(self, name: str, version: str = "1.0") -> None:
        """The model is served no more; the next to ask for it gets a new one."""
        self._served.pop(f"{name}-{version}", None)

    def at_once(self, *calls: Callable[[], Answer]) -> list[Answer]:
        """Each call in a thread of its own."""
        with ThreadPoolExecutor(len(calls)) as threads:
            return [future.result() for future in [threads.submit(call) for call in calls]]

    def management(self, method: str, path: str) -> Answer:
        return self.request(method, path, listener="management")

    def eventually(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + LIMIT
        while not true():
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)

    def lines(self, file: str, text: str) -> list[str]:
        """The lines of a file in logs/ that hold `text`, once there is one."""
        path = self.server.folder / "logs" / file

        def found() -> list[str]:
            return [line for line in path.read_text().splitlines() if text in line] if path.is_file() else []

        self.eventually(lambda: bool(found()))
        return found()


def _server_class() -> Any:
    """tests/conftest.py's Server, which fixtures of a test cannot share among modules."""
    spec = importlib.util.spec_from_file_location("numserve_tests_conftest", ROOT / "tests" / "conftest.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Server


@contextlib.contextmanager
def _serving(folder: Path, config: str = "") -> Iterator[Contract]:
    server = _server_class()(folder)
    with server.config.open("a") as file:
        file.write(config)
    try:
        server.start()
        yield Contract(server, server.addresses)
    finally:
        server.run("numserve", "--stop")


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    """A server with the default configuration."""
    with _serving(tmp_path_factory.mktemp("contract")) as found:
        yield found


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    """A server whose configuration says otherwise in everything that concerns inference."""
    config = (
        "decode_input_request=false\nmax_request_size=2000\nmax_response_size=1000\nservice_envelope=body\n"
        "cors_allowed_origin=*\ncors_allowed_methods=GET, POST, PUT, OPTIONS\ncors_allowed_headers=X-Custom\n"
        "job_queue_size=1\n"
    )
    with _serving(tmp_path_factory.mktemp("strict"), config) as found:
        yield found


@pytest.fixture(scope="session")
def deviates() -> Callable[[str], None]:
    """Asserts that docs/compatibility.md has a row about what a test shows to be otherwise than in TorchServe."""
    rows = [line for line in (ROOT / "docs" / "compatibility.md").read_text().splitlines() if line.count(" | ") >= 4]

    def check(text: str) -> None:
        assert any(text in row for row in rows), f"docs/compatibility.md has no row with {text!r}"

    return check
