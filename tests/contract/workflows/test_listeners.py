"""Workflows behind tokens, and on one listener with everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from numserve.server.api import Combined

MANAGES, ONE, ALL = (f"{name}-0123456789abcdef" for name in ("manages", "one", "all"))
TOKENS = f"manage {MANAGES}\npredict:open {ONE}\npredict {ALL}\n"
SPEC = "models: {}\ndag: {function: []}\n"
FUNCTION = "def function(data, context):\n    return [b'!' for row in data or []]\n"


@pytest.fixture(scope="module")
def guarded(flows: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that asks for tokens, with the workflows `open` and `shut`."""
    server = type(flows.contract.server)(tmp_path_factory.mktemp("guarded"))
    (server.folder / "tokens").write_text(TOKENS)
    with server.config.open("a") as file:
        file.write(f"token_file={server.folder / 'tokens'}\n")
    try:
        server.start()
        found = type(flows)(type(flows.contract)(server, server.addresses))
        for name in ("open", "shut"):
            found.pack(SPEC, FUNCTION, name)
            asked = f"/workflows?url={name}.war", None, {"Authorization": f"Bearer {MANAGES}"}, "management"
            assert found.contract.request("POST", *asked).status == 200
        yield found
    finally:
        server.run("numserve", "--stop")


@pytest.mark.parametrize(
    ("token", "workflow", "status"),
    [("", "open", 401), (MANAGES, "open", 403), (ONE, "open", 200), (ONE, "shut", 403), (ALL, "shut", 200)],
)
def test_a_token_opens_its_workflow_with_all_its_nodes(guarded, token, workflow, status):
    assert guarded.ask(workflow, **{"Authorization": f"Bearer {token}"}).status == status


def test_managing_workflows_needs_that_scope(guarded):
    told = {"Authorization": f"Bearer {ALL}"}
    assert guarded.contract.request("GET", "/workflows", headers=told, listener="management").status == 403


@pytest.mark.parametrize(
    ("path", "face"),
    [("/workflows", "management"), ("/workflows/a", "management"), ("/wfpredict/a", "inference")],
)
async def test_one_listener_tells_the_paths_apart(path, face):
    met = []

    def app(name: str) -> Any:
        async def serve(*_: Any) -> None:
            met.append(name)

        return serve

    names = ("inference", "management", "metrics")
    await Combined({name: app(name) for name in names})({"path": path}, None, None)  # type: ignore[arg-type]
    assert met == [face]


def test_functions_and_nodes_are_in_no_snapshot(flows, tmp_path_factory):
    server = type(flows.contract.server)(tmp_path_factory.mktemp("snapshots"))
    try:
        done = server.run(
            "numserve", "--start", "--model-store", str(server.store), "--ts-config", str(server.config),
            "--enable-model-api",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        found = type(flows)(type(flows.contract)(server, _addresses(server)))
        found.model("m", FUNCTION.replace("function", "handle"))
        name = found.pack(SPEC.replace("{}", "{node: {url: m.mar}}").replace("[]", "[node]"), FUNCTION)
        assert found.register(name).status == 200
        assert found.manage("POST", "/models?url=m.mar&initial_workers=1").status == 200
    finally:
        server.run("numserve", "--stop")
    newest: Path = max((server.folder / "logs" / "config").glob("*-shutdown.cfg"))
    assert '\\"m\\"' in newest.read_text() or '"m"' in newest.read_text()
    assert f"{name}__" not in newest.read_text()


def _addresses(server: Any) -> dict[str, str]:
    found: dict[str, str] = json.loads(server.run("numserve", "status", "--json").stdout)["addresses"]
    return found
