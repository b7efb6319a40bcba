from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numserve.handlers import Context
from numserve.handlers.modules import ModelDirectory


@pytest.fixture(autouse=True)
def left_model_directory() -> Iterator[None]:
    """No test leaves its archive's files behind in the import system."""
    yield
    ModelDirectory.leave()


@pytest.fixture
def context() -> Context:
    """A context with one request in it."""
    made = Context("m", "/nowhere", {"model": {"modelName": "m", "modelVersion": "1.0"}}, 1)
    made.begin(["id0"], [{"explain": "False"}])
    return made


def context_for(folder: Path, **model: Any) -> Context:
    """The context of an unpacked archive whose manifest has these model entries."""
    made = Context("m", folder, {"model": {"modelName": "m", "modelVersion": "1.0", **model}}, 4)
    made.begin(["id0"], [{"explain": "False"}])
    return made


def write(folder: Path, **sources: str) -> Path:
    """Write each source to <name>.py in the folder."""
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    return folder
