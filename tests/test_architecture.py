"""Who may import whom, read from the source."""

import ast
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("archiver", "engine", "handlers", "server")
MAY_IMPORT = {
    "archiver": {"plugins"},
    "engine": {"blas", "plugins"},
    "handlers": {"blas", "engine", "plugins"},
    "server": {"archiver", "handlers", "plugins"},
    "blas": set[str](),
    "plugins": set[str](),
}
THIRD_PARTY = {
    "archiver": {"click"},
    "engine": {"numpy"},
    "handlers": {"numpy", "orjson", "PIL", "yaml"},
    "server": {
        "click", "fastapi", "google", "grpc", "orjson", "prometheus_client", "psutil", "pydantic",
        "python_multipart", "starlette", "uvicorn", "uvloop", "yaml",
    },
    "blas": {"numpy"},
    "plugins": set[str](),
}  # fmt: skip

EXECUTING = {
    "_pickle", "cloudpickle", "dill", "hickle", "joblib", "jsonpickle", "klepto", "marshal", "multiprocess",
    "multiprocessing", "pickle", "pickletools", "shelve", "xmlrpc",
}  # fmt: skip
"""Modules that run code when they read bytes, or send objects by one that does. The engine reads pickles on its own."""


def modules() -> dict[str, Path]:
    """Dotted name under the root → file, for all that is shipped."""
    files = {"": ROOT / "__init__.py", "blas": ROOT / "blas.py", "plugins": ROOT / "plugins.py"}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


MODULES = modules()


def statements(tree: ast.Module, inside_functions: bool) -> list[ast.Import | ast.ImportFrom]:
    """The import statements that run at import, or all of them; never those for the type checker alone."""
    found: list[ast.Import | ast.ImportFrom] = []
    todo: list[ast.AST] = [*tree.body]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.append(node)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        elif inside_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)
    return found


def first_party(name: str, *, inside_functions: bool = True) -> set[str]:
    """The modules of the package that a module imports."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in statements(ast.parse(path.read_text()), inside_functions):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                full = ".".join([*base, alias.name])
                found.add(full if full in MODULES else ".".join(base))
    return found


def third_party(name: str) -> set[str]:
    """The top-level names of others' packages that a module imports, anywhere in it."""
    tops = set()
    for node in statements(ast.parse(MODULES[name].read_text()), inside_functions=True):
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif not node.level and node.module:
            tops.add(node.module.split(".")[0])
    return tops - set(sys.stdlib_module_names)


def folder_of(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_imports_go_only_where_they_may(name: str) -> None:
    allowed = MAY_IMPORT[folder_of(name)] | {folder_of(name), ""}

    assert {folder_of(target) for target in first_party(name)} <= allowed
    assert third_party(name) <= THIRD_PARTY[folder_of(name)]


def loaders_of_code(source: str) -> set[str]:
    """What in a module could read bytes that run: imports, names to import by, permissive arguments."""
    tree, found = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in EXECUTING}
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in EXECUTING:
            found.add(node.module or "")
        elif isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            if (node.arg, node.value.value) in (("allow_pickle", True), ("weights_only", False)):
                found.add(f"{node.arg}={node.value.value}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__", "resolve")):
            texts = [text.value for text in ast.walk(node) if isinstance(text, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str) and text.split(":")[0].split(".")[0] in EXECUTING}
    return found


def test_nothing_that_is_received_can_run() -> None:
    """No pickle, and no relative of it, on a wire, in an archive or in a cache: neither ours nor by another's hand."""
    assert {name: found for name, path in MODULES.items() if (found := loaders_of_code(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from multiprocessing.connection import Client",
        "import marshal as m",
        "importlib.import_module('cloudpickle')",
        "np.load(file, allow_pickle=True)",
        "torch.load(file, weights_only=False)",
    ],
)
def test_what_runs_is_found(source: str) -> None:
    assert loaders_of_code(source)


def test_the_package_is_imported_relatively() -> None:
    assert not [name for name in MODULES if third_party(name) & {"numserve", *FOLDERS}]


def test_only_what_runs_in_workers_imports_handlers() -> None:
    importers = {n for n in MODULES if folder_of(n) == "server" and "handlers" in map(folder_of, first_party(n))}

    assert importers == {"server.workers.runtime", "server.workers.nursery"}


def test_there_are_no_circles() -> None:
    graph = {}
    for name in MODULES:
        parents = {name.rsplit(".", i)[0] for i in range(1, name.count(".") + 1)}
        graph[name] = first_party(name, inside_functions=False) - parents - {name, ""}

    TopologicalSorter(graph).prepare()


def test_every_folder_of_code_is_shipped() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    packages = {"numserve"} | {
        f"numserve.{name}" for name, path in MODULES.items() if name and path.name == "__init__.py"
    }

    assert listed == sorted(packages)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("numserve.server.cli", {"fastapi", "pydantic", "uvicorn", "numpy", "psutil", "prometheus_client"}),
        ("numserve.archiver.cli", {"numpy", "fastapi", "pydantic"}),
        (
            "numserve.server.serve",
            {"numpy", "grpc", "google.protobuf", "fastapi", "starlette", "anyio", "opentelemetry"},
        ),
        ("numserve.server.workers.child", {"fastapi", "starlette", "uvicorn", "pydantic", "numpy", "yaml"}),
        ("numserve.server.workers.nursery", {"fastapi", "pydantic", "numpy", "yaml", "asyncio"}),
        ("numserve.handlers", {"fastapi", "pydantic", "PIL", "numpy"}),
        ("numserve.engine", {"fastapi", "PIL", "torch"}),
    ],
)
def test_what_an_import_does_not_bring(module: str, absent: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert not absent & set(loaded.stdout.split())
