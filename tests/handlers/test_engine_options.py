import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from numserve.handlers import Context, HandlerError
from numserve.handlers.engine_options import READERS, EngineOptions, Input


def options(of_worker: int | None = None, /, **section: Any) -> EngineOptions:
    return EngineOptions.of(Context("m", "/nowhere", None, 1, model_yaml_config={"engine": section}, threads=of_worker))


def test_all_that_can_be_said() -> None:
    said = options(
        executor="numpy", exact=True, threads=2, sample="kitten.jpg", batches=[1, 8],
        inputs=[[1, 3, 224, 224], {"shape": [1, 16], "dtype": "int64"}],
    )  # fmt: skip

    assert said == EngineOptions(
        "numpy", True, 2, (Input((1, 3, 224, 224)), Input((1, 16), "int64")), "kitten.jpg", (1, 8)
    )


@pytest.mark.parametrize("config", [None, {}, {"engine": "mine"}, {"handler": {"profile": True}}])
def test_nothing_need_be_said(config) -> None:
    said = EngineOptions.of(Context("m", "/nowhere", None, 1, model_yaml_config=config))

    assert said == EngineOptions(threads=len(os.sched_getaffinity(0)))


def test_the_threads_are_the_workers_unless_the_model_says() -> None:
    assert options(3).threads == 3
    assert options(3, threads=1).threads == 1


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"executor": 1}, "engine.executor: met 1; expected a name"),
        ({"exact": "yes"}, "engine.exact: met 'yes'; expected true or false"),
        ({"threads": 0}, "engine.threads: met 0; expected a whole number of at least 1"),
        ({"threads": True}, "engine.threads: met True; expected a whole number of at least 1"),
        ({"batches": 8}, r"engine.batches: met 8; expected a list of whole numbers, such as \[1, 8\]"),
        ({"batches": [1, 0]}, r"engine.batches\[1\]: met 0; expected a whole number of at least 1"),
        ({"inputs": [1, 3]}, r"engine.inputs\[0\]: met 1; expected a shape"),
        ({"inputs": {}}, "engine.inputs: met {}; expected a list with a shape for each input"),
        ({"inputs": [{"shape": [1], "type": "int"}]}, r"engine.inputs\[0\]: met .*; expected a shape"),
        ({"inputs": [{"shape": [1], "dtype": "int"}]}, r"engine.inputs\[0\].dtype: met 'int'; expected one of float32"),
        ({"sample": ""}, "engine.sample: met ''; expected a name"),
    ],
)
def test_what_is_wrong_is_named(section, message) -> None:
    with pytest.raises(HandlerError, match=message) as caught:
        options(**section)

    assert caught.value.hint == "correct the model's YAML file and pack it again"


@pytest.mark.parametrize(("key", "hint"), [("thread", "did you mean engine.threads?"), ("x", "there are: executor")])
def test_an_unknown_key_is_ignored_and_named(caplog, key, hint) -> None:
    with caplog.at_level(logging.WARNING):
        options(**{key: 2})

    assert f"engine.{key} is not known and is ignored; {hint}" in caplog.text


@pytest.mark.parametrize(("dtype", "kind"), [("float32", "f"), ("float64", "f"), ("int64", "i"), ("bool", "b")])
def test_an_example_of_an_input(dtype, kind) -> None:
    example = Input((2, 3), dtype).example()

    assert (example.shape, example.array.dtype.kind) == ((2, 3), kind)
    assert (kind == "f") is (len(set(example.array.ravel().tolist())) > 1)


@pytest.mark.parametrize("key", READERS)
def test_the_docs_show_every_key(key) -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    (section,) = re.findall(r"```yaml\nengine:\n(.*?)```", page, re.DOTALL)

    assert f"  {key}: " in section


def test_the_docs_example_is_right() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    (example,) = re.findall(r"```yaml\n(engine:\n.*?)```", page, re.DOTALL)

    assert options(**yaml.safe_load(example)["engine"]).batches == (1, 8)
