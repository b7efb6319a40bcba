import re
from pathlib import Path

import pytest
from numserve import handlers
from numserve.handlers import alias
from numserve.handlers.loading import NOT_YET

from .conftest import write

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = (DOCS / "handlers.md").read_text()


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_the_example_handler_is_one(tmp_path, context) -> None:
    handler = handlers.load_handler("handler", write(tmp_path, handler=blocks(PAGE)[0]))
    handler.inference = lambda data: data  # type: ignore[attr-defined]

    assert handler.handle([{"body": [0.5, 3.0, 1.0]}, {"body": [9.0, 0.0, 1.0]}], context) == [1, 0]


def test_the_example_metrics_are_emitted(context) -> None:
    exec(blocks(PAGE)[1], {**vars(handlers), "context": context})

    emitted = [each.name for each in context.metrics.drain()]
    assert emitted == ["Cats", "Decode", "Picture", "Filled", "Refused", "Kelvin", "Depth"]


def test_the_example_imports_are_answered(tmp_path, monkeypatch, context) -> None:
    monkeypatch.setattr(alias, "active", lambda top: top in ("ts", "torch", "torchvision"))
    source = (
        blocks((DOCS / "torch-alias.md").read_text())[0] + "\ndef handle(rows, context): return [nn.Linear.__name__]"
    )

    assert handlers.load_handler("handler", write(tmp_path, handler=source)).handle([{}], context) == ["Linear"]


@pytest.mark.parametrize("name", handlers.BUILTIN)
def test_every_built_in_handler_has_its_row(name) -> None:
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("name", ["densenet_handler", "dali_image_classifier", "vllm_handler", "trt_llm_handler"])
def test_what_is_not_there_yet_is_named(name) -> None:
    assert name in NOT_YET
    assert f"`{name}`" in PAGE
