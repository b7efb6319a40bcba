"""Servers with real workers for the management contract; what speaks to them is the inference contract's."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

INFERENCE = Path(__file__).parent.parent / "inference" / "conftest.py"
TOKENS = {
    "predicts": "predict-0123456789abcdef",
    "manages": "manages-0123456789abcdef",
    "scrapes": "scrapes-0123456789abcdef",
    "everything": "anything-0123456789abcdef",
    "one model": "onemodel-0123456789abcdef",
}
TOKEN_FILE = f"""
# scopes                token
predict                 {TOKENS["predicts"]}
manage                  {TOKENS["manages"]}
metrics                 {TOKENS["scrapes"]}
predict,manage,metrics  {TOKENS["everything"]}
predict:tell            {TOKENS["one model"]}
"""


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("numserve_contract_conftest", INFERENCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


SHARED = _module()
deviates = SHARED.deviates


class Door:
    """A server that asks for tokens, and a way to show it one."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract
        self.server = contract.server

    def ask(self, listener: str, path: str, token: str | None = None, method: str = "GET", **headers: str) -> Any:
        told = {"Authorization": f"Bearer {token}"} if token else {}
        return self.contract.request(method, path, headers=told | headers, listener=listener)

    def key(self, kind: str) -> str:
        """A key of the key file, as it stands there now."""
        found: str = json.loads((self.server.folder / "key_file.json").read_text())[kind]["key"]
        return found


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server with the default configuration and the model API."""
    with SHARED._serving(tmp_path_factory.mktemp("management")) as found:
        yield found


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server with TorchServe's key file."""
    config = "disable_token_authorization=false\n"
    with SHARED._serving(tmp_path_factory.mktemp("keyed"), config) as found:
        yield Door(found)


@pytest.fixture(scope="module")
def scoped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server with static tokens."""
    folder = tmp_path_factory.mktemp("scoped")
    (folder / "tokens").write_text(TOKEN_FILE)
    with SHARED._serving(folder, f"token_file={folder}/tokens\n") as found:
        yield Door(found)


@pytest.fixture
def tokens() -> dict[str, str]:
    return TOKENS


@pytest.fixture(scope="module")
def installing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server that installs what archives ask for, into a folder of its own."""
    folder = tmp_path_factory.mktemp("installing")
    config = f"install_py_dep_per_model=true\nmodel_environments={folder}/environments\n"
    with SHARED._serving(folder, config) as found:
        yield found
