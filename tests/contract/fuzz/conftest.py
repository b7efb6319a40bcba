"""A server to be fuzzed; what speaks to it is the inference contract's."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

INFERENCE = Path(__file__).parent.parent / "inference" / "conftest.py"
TOKEN = "fuzzing-0123456789abcdef"


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("numserve_contract_conftest_of_fuzz", INFERENCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


SHARED = _module()


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server that asks for tokens, with one model, `tell`; the token is `fuzzed.token`."""
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / "tokens").write_text(f"predict,manage,metrics {TOKEN}\n")
    with SHARED._serving(folder, f"token_file={folder}/tokens\n") as contract:
        contract.token = TOKEN
        contract.server.archive("tell", "--handler", INFERENCE.parent / "handlers" / "tell.py")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = contract.request(
            "POST", "/models?url=tell.mar&initial_workers=1&synchronous=true", headers=headers, listener="management"
        )
        assert answer.status == 200, answer.body
        yield contract
