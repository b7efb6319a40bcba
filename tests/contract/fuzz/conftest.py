"""A server to be fuzzed; what speaks to it is the inference contract's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HANDLER = Path(__file__).parent.parent / "inference" / "handlers" / "tell.py"
TOKEN = "fuzzing-0123456789abcdef"


@pytest.fixture(scope="module")
def fuzzed(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server that asks for tokens, with one model, `tell`; the token is `fuzzed.token`."""
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / "tokens").write_text(f"predict,manage,metrics {TOKEN}\n")
    with serving(folder, f"token_file={folder}/tokens\n") as contract:
        contract.token = TOKEN
        contract.server.archive("tell", "--handler", HANDLER)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = contract.request(
            "POST", "/models?url=tell.mar&initial_workers=1&synchronous=true", headers=headers, listener="management"
        )
        assert answer.status == 200, answer.body
        yield contract
