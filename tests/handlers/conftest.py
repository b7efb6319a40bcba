import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
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


def oracle() -> ModuleType:
    """torchvision itself; the test is skipped where it is not installed."""
    pytest.importorskip("torch")
    file = Path(__file__).parent.parent / "data" / "torchvision_oracle.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torchvision: ModuleType = module.torchvision()
    return torchvision


def write(folder: Path, **sources: str) -> Path:
    """Write each source to <name>.py in the folder."""
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    return folder
