"""The servers that are compared: how each is started, and how it is asked for a model as its documentation says."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from numserve.server.bench.wire import request_bytes
from served import BIN

HERE = Path(__file__).resolve().parent
HOME = Path(os.environ.get("NUMSERVE_PEERS", Path.home() / ".cache" / "numserve-peers"))
Given = str | bytes | list[float]


@dataclass(frozen=True)
class Start:
    """What a server is started for."""

    model: str
    port: int
    work: Path
    """A folder for what it writes."""
    store: Path
    """The archives of all models."""


@dataclass(frozen=True)
class Peer:
    """A server: the command that starts it, and a model's request for what is given, as path, content type and body."""

    name: str
    command: Callable[[Start], list[str | Path]]
    ask: Callable[[str, Given], tuple[str, str, bytes]]

    @property
    def ours(self) -> bool:
        return self.name == "numserve"

    @property
    def absent(self) -> str:
        """What to do where it is not installed; empty: it is."""
        wanted, found = HERE / self.name / "requirements.txt", HOME / self.name / "installed.txt"
        if not self.ours and (not found.exists() or found.read_text() != wanted.read_text()):
            return f"{self.name} is not installed: benchmarks/peers/install {self.name}"
        if self.name == "torchserve" and not shutil.which("java"):
            return f"{self.name} needs Java 17: apt-get install openjdk-17-jre-headless"
        return ""

    @property
    def version(self) -> str:
        if self.ours:
            return metadata.version(self.name)
        return (HERE / self.name / "requirements.txt").read_text().split()[0].partition("==")[2]

    def request(self, model: str, given: Given) -> bytes:
        path, content_type, body = self.ask(model, given)
        return request_bytes("POST", path, "127.0.0.1", {"Content-Type": content_type}, body)


def _json(path: str, tree: Any) -> tuple[str, str, bytes]:
    return path, "application/json", json.dumps(tree).encode()


def _text(given: Given) -> Any:
    """What JSON can hold of it."""
    return base64.b64encode(given).decode() if isinstance(given, bytes) else given


def _raw(path: str, given: Given) -> tuple[str, str, bytes]:
    """Numbers as JSON, all else as it is."""
    if isinstance(given, list):
        return _json(path, {"x": given})
    return path, "application/octet-stream", given.encode() if isinstance(given, str) else given


def _archived(start: Start, program: str | Path, *flags: str, **properties: str) -> list[str | Path]:
    """The command of numserve and TorchServe, which read the same configuration and the same archive."""
    lines = {
        "inference_address": f"http://127.0.0.1:{start.port}",
        "default_workers_per_model": "1",
        "job_queue_size": "100" if start.model == "slow" else "1000",
        **properties,
    }
    config = start.work / "config.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    models = ("--model-store", start.store, "--models", f"{start.model}={start.model}.mar")
    return [program, "--start", "--foreground", "--ncs", *flags, *models, "--ts-config", config]


def _numserve(start: Start) -> list[str | Path]:
    free = dict.fromkeys(("management_address", "metrics_address"), "http://127.0.0.1:0")
    return _archived(start, BIN / "numserve", **free, enable_grpc="false")


def _torchserve(start: Start) -> list[str | Path]:
    names = ("management_address", "metrics_address", "grpc_inference_port", "grpc_management_port")
    ports = dict(zip(names, (str(port) for port in free_ports(4)), strict=True))
    ports |= {name: f"http://127.0.0.1:{port}" for name, port in ports.items() if name.endswith("address")}
    return _archived(start, _bin("torchserve", "torchserve"), "--disable-token-auth", **ports)


def _predictions(model: str, given: Given) -> tuple[str, str, bytes]:
    return _raw(f"/predictions/{model}", given)


def _litserve(start: Start) -> list[str | Path]:
    return [_bin("litserve", "python"), HERE / "litserve" / "serve.py", str(start.port)]


def _bentoml(start: Start) -> list[str | Path]:
    where = ("--host", "127.0.0.1", "--port", str(start.port), "--working-dir", HERE / "bentoml")
    return [_bin("bentoml", "bentoml"), "serve", "service:Served", *where]


def _ask_bentoml(model: str, given: Given) -> tuple[str, str, bytes]:
    if isinstance(given, bytes):
        head = '--part\r\nContent-Disposition: form-data; name="x"; filename="x"\r\n'
        head += "Content-Type: application/octet-stream\r\n\r\n"
        return "/file", "multipart/form-data; boundary=part", head.encode() + given + b"\r\n--part--\r\n"
    return _json("/text" if isinstance(given, str) else "/numbers", {"x": given})


def _mlserver(start: Start) -> list[str | Path]:
    grpc, metrics = free_ports(2)
    settings = {"host": "127.0.0.1", "http_port": start.port, "grpc_port": grpc, "metrics_port": metrics}
    settings |= {"parallel_workers": 1, "debug": False, "metrics_dir": str(start.work / "metrics")}
    model = {"name": start.model, "implementation": "runtime.Served"}
    (start.work / "settings.json").write_text(json.dumps(settings))
    (start.work / "model-settings.json").write_text(json.dumps(model))
    return [_bin("mlserver", "mlserver"), "start", start.work]


def _ask_mlserver(model: str, given: Given) -> tuple[str, str, bytes]:
    of_bytes = {"parameters": {"content_type": "base64"}} if isinstance(given, bytes) else {}
    data = given if isinstance(given, list) else [_text(given)]
    datatype = "FP32" if isinstance(given, list) else "BYTES"
    tensor = {"name": "x", "shape": [1, len(data)], "datatype": datatype, "data": data, **of_bytes}
    return _json(f"/v2/models/{model}/infer", {"inputs": [tensor]})


def _ray(start: Start) -> list[str | Path]:
    return [_bin("ray", "python"), HERE / "ray" / "serve.py", str(start.port), start.work / "ray"]


def _bin(peer: str, program: str) -> Path:
    return HOME / peer / "bin" / program


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("numserve", _numserve, _predictions),
        Peer("litserve", _litserve, lambda _, given: _json("/predict", {"x": _text(given)})),
        Peer("bentoml", _bentoml, _ask_bentoml),
        Peer("mlserver", _mlserver, _ask_mlserver),
        Peer("ray", _ray, lambda _, given: _raw("/", given)),
        Peer("torchserve", _torchserve, _predictions),
    )
}
