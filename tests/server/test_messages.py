import dataclasses
import inspect
import re
import subprocess
import sys

import orjson
import pytest
from numserve.server import errors, messages
from numserve.server.messages import Failure, LoadFailure

KINDS = [kind for _, kind in inspect.getmembers(messages, dataclasses.is_dataclass) if kind is not messages.Trace]
OF_EACH_REQUEST = {messages.Part, messages.InferenceRequest, messages.InferenceResponse, messages.BatchReport}
"""Freezing these would cost more than all else that is done to make them."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_has_slots_and_is_frozen_but_for_those_of_each_request(kind):
    assert kind.__dataclass_params__.frozen is (kind not in OF_EACH_REQUEST)
    assert "__slots__" in kind.__dict__


def test_a_message_is_json_but_for_its_bodies():
    told = {"kind": "A", "message": "b", "code": 1, "detail": "", "raised": False}
    assert orjson.loads(orjson.dumps(Failure("A", "b", 1))) == told


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^([│ ]*)[├└]── (\w+)", errors.__doc__, re.MULTILINE)
    parents = {0: "ServingError"}
    for indent, name in drawn:
        depth = len(indent) // 4 + 1
        parents[depth] = name
        assert getattr(errors, name).__base__.__name__ == parents[depth - 1], name
    families = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert families == {"ServingError", *(name for _, name in drawn)}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("OutOfResources", errors.OutOfResources),
        ("WorkerDied", errors.WorkerDied),
        ("Nonsense", errors.InferenceFailed),
    ],
)
def test_a_failure_becomes_the_error_it_names(kind, expected):
    error = errors.from_failure(Failure(kind, "words", 418, "more"))
    assert type(error) is expected
    assert (str(error), error.code, error.detail) == ("words", 418, "more")


def test_a_load_failure_tells_phase_line_exception_and_hint():
    failure = LoadFailure("import", "ModuleNotFoundError", "No module named 'x'", "handler.py:3", "pip install x")
    error = errors.ModelLoadFailed("m", "1.0", failure)
    assert error.explained() == (
        "Failed to start workers for model m version: 1.0 (import failed at handler.py:3: "
        "ModuleNotFoundError: No module named 'x'; hint: pip install x)"
    )


def test_the_messages_import_nothing_heavy():
    heavy = "{'pydantic', 'fastapi', 'numpy', 'asyncio', 'yaml'}"
    code = f"import sys, numserve.server.messages, numserve.server.workers; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd="/").returncode == 0
