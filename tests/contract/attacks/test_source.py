"""What holds of the source as a whole: nothing is unpickled, nothing a file says is run as Python."""

import ast
import importlib.metadata
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]
SOURCES = [
    path for folder in ("archiver", "engine", "handlers", "server") for path in sorted((ROOT / folder).rglob("*.py"))
]
CODE = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "jsonpickle"}
RUN = {"eval", "exec"}
"""Names that would run what a file or a client says."""
ALLOWED_TO_RUN: dict[str, set[str]] = {}
FLOORS = {"starlette": "1.3.1", "python-multipart": "0.0.31", "orjson": "3.9.15"}
"""The first releases without what is known of them."""


@cache
def parsed(path):
    return ast.parse(path.read_text())


def calls(tree):
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def test_nothing_that_runs_code_is_imported():
    found = {str(path): CODE & {*imports(parsed(path))} for path in SOURCES}
    assert len(found) > 200 and not {path: names for path, names in found.items() if names}


def test_nothing_is_evaluated():
    found = {str(path.relative_to(ROOT)): RUN & calls(parsed(path)) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == ALLOWED_TO_RUN


def test_yaml_is_read_as_plain_data_alone():
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml":
                assert node.attr not in ("load", "load_all", "unsafe_load", "full_load", "Loader", "UnsafeLoader"), path


@pytest.mark.parametrize("package", FLOORS)
def test_no_release_with_known_holes_is_taken(package):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [wanted] = [each for each in map(Requirement, project["dependencies"]) if each.name == package]
    assert not wanted.specifier.contains("0.0.1") and wanted.specifier.contains(FLOORS[package])
    assert Version(importlib.metadata.version(package)) >= Version(FLOORS[package])
