"""A server with real workers for workflows, and a way to put archives into its store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from numserve.archiver import ModelArchiverConfig, WorkflowArchiverConfig, pack, pack_workflow

UPPER = """
def handle(data, context):
    return [bytes(next(iter(row.values()))).upper() for row in data or []]
"""
ECHO = """
import json


def handle(data, context):
    told = [{name: bytes(value).decode() for name, value in row.items()} for row in data or []]
    return [json.dumps(row) for row in told]
"""


class Flows:
    """Makes workflows, and speaks to the server about them."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract
        self.store = contract.server.store
        self.folder = contract.server.folder
        self._numbers = itertools.count()

    def model(self, name: str, handler: str) -> None:
        """Pack a model of this handler's text as NAME.mar."""
        source = self.folder / f"{name}_handler.py"
        source.write_text(handler)
        pack(ModelArchiverConfig(name, str(source), "1.0", export_path=str(self.store), force=True))

    def pack(self, spec: str, functions: str | None = None, name: str | None = None, into: Path | None = None) -> str:
        """Pack a workflow; gives its name, which is also its archive's."""
        name = name or f"flow{next(self._numbers)}"
        source = self.folder / name
        source.mkdir()
        (source / "workflow.yaml").write_text(spec)
        if functions is not None:
            (source / "functions.py").write_text(functions)
        handler = str(source / "functions.py") if functions is not None else None
        export = str(into or self.store)
        pack_workflow(WorkflowArchiverConfig(name, str(source / "workflow.yaml"), handler, export))
        return name

    def register(self, name: str, **parameters: str) -> Any:
        query = urlencode({"url": f"{name}.war", **parameters})
        return self.contract.request("POST", f"/workflows?{query}", listener="management")

    def serve(self, spec: str, functions: str | None = None) -> str:
        """Pack and register a workflow; gives its name."""
        name = self.pack(spec, functions)
        answer = self.register(name)
        text = f"Workflow {name} has been registered and scaled successfully."
        assert (answer.status, answer.json()) == (200, {"status": text}), answer.body
        return name

    def ask(self, name: str, body: bytes | str = b"", method: str = "POST", **headers: str) -> Any:
        return self.contract.request(method, f"/wfpredict/{name}", body, headers)

    def manage(self, method: str, path: str) -> Any:
        return self.contract.management(method, path)

    def models(self) -> list[str]:
        return [model["modelName"] for model in self.manage("GET", "/models").json()["models"]]


@pytest.fixture(scope="session")
def flows(shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flows]:
    """A server whose store has the models `upper` and `echo`."""
    with shared._serving(tmp_path_factory.mktemp("workflows")) as contract:
        found = Flows(contract)
        found.model("upper", UPPER)
        found.model("echo", ECHO)
        yield found


@pytest.fixture(scope="session")
def closed(shared: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """A server with a workflow store of its own, and without the model API; gives what speaks to management."""
    server = shared._server_class()(tmp_path_factory.mktemp("closed"))
    (server.folder / "workflows").mkdir()
    try:
        done = server.run(
            "numserve", "--start", "--ncs", "--model-store", str(server.store), "--workflow-store",
            str(server.folder / "workflows"), "--ts-config", str(server.config),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        told = server.run("numserve", "status", "--json")
        contract = shared.Contract(server, shared.json.loads(told.stdout)["addresses"])
        yield contract.management
    finally:
        server.run("numserve", "--stop")
