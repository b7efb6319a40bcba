"""The pages of docs/: whatever the code's tables hold stands there, every link leads somewhere, every test is one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import httpx
import numserve.archiver.cli
import numserve.archiver.workflow_cli
import numserve.server.cli
import pytest
from numserve.server import model_config, sources
from numserve.server.api import inference_app, management_app, metrics_app
from numserve.server.api import management as management_api
from numserve.server.api.errors import WIRE
from numserve.server.api.targets import find_target
from numserve.server.auth import Authority
from numserve.server.metrics.config import FRONTEND
from numserve.server.metrics.metrics import Metrics
from numserve.server.model_config import ModelConfig
from numserve.server.registry import ModelRegistry
from numserve.server.settings import Settings
from numserve.server.workflows import WorkflowRegistry

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "docs/*.md", "docker/*.md", "examples/*/README.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)


@cache
def prose(page: str) -> str:
    """A page without what stands in its blocks of code."""
    return re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)


@cache
def named(page: str) -> frozenset[str]:
    """What the headings and the rows of tables of a page name as `code`."""
    lines = [line for line in prose(f"docs/{page}").splitlines() if line.startswith(("|", "#"))]
    return frozenset(code for line in lines for code in re.findall(r"`([^`]+)`", line))


def words(page: str) -> set[str]:
    """The names in that: keys, flags, variables, metrics."""
    return {word for code in named(page) for word in re.findall(r"[\w<>-]+", code)}


# Settings, variables, flags, metrics


@pytest.mark.parametrize("key", [*Settings.known_keys(), *sources.UNSERVED])
def test_a_key_of_the_configuration_has_its_row(key):
    assert key in named("configuration.md")


@pytest.mark.parametrize("name", [*ModelConfig.model_fields, *model_config.UNSERVED])
def test_a_key_of_a_models_yaml_has_its_row(name):
    field = ModelConfig.model_fields.get(name)
    if name != "document":
        assert (field.alias if field else name) in named("configuration.md")


def test_what_does_nothing_is_listed_with_the_reason():
    section = prose("docs/configuration.md").partition("\n## Keys that do nothing here\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    told = {key: reason for keys, reason in rows for key in re.findall(r"`(\w+)`", keys)}
    assert told == sources.UNSERVED | model_config.UNSERVED


VARIABLES = [
    "TS_CONFIG_FILE", "TS_ALLOWED_URLS", numserve.server.cli.TOKEN, *sources.ALWAYS_READ,
    *sources.ALWAYS_OVERRIDING.values(), *sources.IRREGULAR.values(),
]  # fmt: skip


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_environment_variable_has_its_row(variable):
    assert variable in words("configuration.md")


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, by what one types."""
    yield name, command
    for sub, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{name} {sub}")


COMMANDS = {
    "command-line.md": [*commands(numserve.server.cli.cli, "numserve")],
    "archiver.md": [
        *commands(numserve.archiver.cli.main, "model-archiver"),
        *commands(numserve.archiver.workflow_cli.main, "workflow-archiver"),
    ],
}
FLAGS = [
    (page, name, flag)
    for page, found in COMMANDS.items()
    for name, command in found
    for option in command.params
    if isinstance(option, click.Option) and not option.hidden
    for flag in option.opts
]


@pytest.mark.parametrize(("page", "command", "flag"), FLAGS)
def test_a_flag_has_its_row(page, command, flag):
    assert flag in words(page), command


@pytest.mark.parametrize(("page", "command"), [(page, name) for page, found in COMMANDS.items() for name, _ in found])
def test_a_command_is_on_its_page(page, command):
    assert command in (DOCS / page).read_text()


METRICS = re.findall(r"^# TYPE (\S+)", Metrics("host").exposition([]).decode(), re.MULTILINE)


@pytest.mark.parametrize("name", sorted({*METRICS, *(metric.name for metric in FRONTEND)}))
def test_a_metric_has_its_row(name):
    prefixes = [code.removesuffix("…") for code in named("metrics.md") if code.endswith("_…")]
    assert name in words("metrics.md") or name.startswith(tuple(prefixes))


# Routes


def spelled_out(path: str) -> set[str]:
    """Every path that one with optional [parts] stands for; a {name} is {}."""
    if inner := re.search(r"\[([^\[\]]*)\]", path):
        head, tail = path[: inner.start()], path[inner.end() :]
        return spelled_out(head + tail) | spelled_out(head + inner[1] + tail)
    return {re.sub(r"\{\w+\}", "{}", path)}


def routes(*pages: str) -> set[str]:
    """The paths that the rows of these pages are about."""
    codes = [code.split("?")[0].split(" ")[-1] for page in pages for code in named(page)]
    return {path for code in codes if code.startswith("/") for path in spelled_out(code)}


@pytest.fixture
async def served(tmp_path, monkeypatch) -> dict[str, dict[str, dict]]:
    """What each listener's own description says that it serves."""
    monkeypatch.chdir(tmp_path)
    settings = Settings.load(temp_dir=tmp_path, disable_token_authorization=False)
    metrics = Metrics("host")
    registry = ModelRegistry(settings, metrics)
    workflows = WorkflowRegistry(settings, registry, metrics)
    apps = {
        "inference": inference_app(registry, settings, metrics, workflows=workflows),
        "management": management_app(registry, settings, Authority.of(settings), workflows=workflows),
        "metrics": metrics_app(metrics),
    }
    told = {}
    for name, app in apps.items():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
            told[name] = (await client.options("/")).json()["paths"]
    await registry.close(0)
    workflows.close()
    return told


ON = {
    "inference": ("inference-api.md", "open-inference.md", "workflows.md"),
    "management": ("management-api.md", "workflows.md"),
    "metrics": ("metrics.md", "inference-api.md"),
}


@pytest.mark.parametrize("listener", ON)
async def test_a_route_has_its_row(served, listener):
    there = routes(*ON[listener]) | {"/metrics"}
    assert not {re.sub(r"\{\w+\}", "{}", path) for path in served[listener]} - there


@pytest.mark.parametrize("listener", ["inference", "management"])
async def test_a_path_of_the_docs_is_served(served, listener):
    known = {re.sub(r"\{\w+\}", "{}", path) for paths in served.values() for path in paths}
    told = {path for path in routes(ON[listener][0]) if not path.endswith("…") and path != "/docs"}
    assert not {path for path in told if path not in known and not find_target(path.replace("{}", "x").split("/"))} - {
        "/models/{}/all"
    }


PROTOCOLS = [file.read_text() for file in (ROOT / "server" / "grpc" / "protos").glob("*.proto")]
SERVICES = {name for text in PROTOCOLS for name in re.findall(r"^service (\w+)", text, re.MULTILINE)}
CALLS = {name for text in PROTOCOLS for name in re.findall(r"^ *rpc (\w+)", text, re.MULTILINE)}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_of_grpc_has_its_heading(service):
    assert f"## `{service}`" in prose("docs/grpc.md")


@pytest.mark.parametrize("call", sorted(CALLS - {"Check", "ServerReflectionInfo"}))  # what their services are for
def test_a_call_of_grpc_is_on_its_page(call):
    assert f"`{call}`" in prose("docs/grpc.md")


PARAMETERS = ("LISTING", "REGISTERING", "SCALING", "DESCRIBING", "RENEWING")


@pytest.mark.parametrize("name", [name for table in PARAMETERS for name in getattr(management_api, table)])
def test_a_parameter_of_management_has_its_row(name):
    assert name in words("management-api.md")


@pytest.mark.parametrize("status", sorted({status for status, _ in WIRE.values()}))
def test_a_status_has_its_row(status):
    rows = prose("docs/inference-api.md") + prose("docs/management-api.md")
    assert re.search(rf"^\| {status} \|", rows, re.MULTILINE)


# The pages themselves


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: str) -> set[str]:
    return {slug(line.lstrip("#")) for line in prose(page).splitlines() if line.startswith("#")}


def links(page: str) -> list[tuple[str, str]]:
    """The files that a page links to, from the root, each with the anchor."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            file = (ROOT / page).parent / path if path else ROOT / page
            found.append((file.resolve().relative_to(ROOT).as_posix(), anchor))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for path, anchor in links(page):
        assert (ROOT / path).exists(), path
        assert not anchor or anchor in anchors(path), f"{path}#{anchor}"


def test_every_page_is_reached_from_the_readme():
    seen, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            waiting += [path if path.endswith(".md") else f"{path}/README.md" for path, _ in links(page)]
            waiting = [path for path in waiting if path in PAGES]
    assert seen == set(PAGES)


def test_every_page_is_in_the_index():
    assert {path for path, _ in links("docs/README.md")} >= {page for page in PAGES if page.startswith("docs/")} - {
        "docs/README.md"
    }


def test_every_component_has_its_page():
    with (ROOT / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["tool"]["setuptools"]["packages"]
    folders = {"/".join(package.split(".")[1:3]) + "/" for package in packages if "." in package}
    assert not folders - named("README.md")


def tables(page: str) -> list[list[str]]:
    """The lines of each table of a page, the two of its head included."""
    blocks = re.findall(r"(?:^\|.*\n)+", prose(page), re.MULTILINE)
    return [block.splitlines() for block in blocks]


def test_every_difference_names_the_test_that_holds_it():
    for head, _, *rows in tables("docs/compatibility.md"):
        assert head.endswith("| test |"), head
        for row in rows:
            assert re.search(r"\| `[\w/]+\.py::test_\w+`(, `[\w/]+\.py::test_\w+`)* \|$", row), row


REFERENCES = re.compile(r"`([\w/]+\.py::test_\w+)`")


def test_every_attack_names_the_test_that_holds_it_off():
    for head, _, *rows in tables("docs/security.md"):
        for row in rows if head.endswith("| test |") else ():
            assert row.endswith(("` |", "matter | |")), row


def test_every_fault_names_the_test_that_injects_it():
    [(_, _, *rows)] = [each for each in tables("docs/faults.md") if each[0].endswith("| test |")]
    unheld = [row for row in rows if not REFERENCES.search(row)]
    assert not unheld
    held = set(REFERENCES.findall(prose("docs/faults.md")))
    for path in sorted((ROOT / "tests" / "faults").glob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE):
            assert f"faults/{path.name}::{name}" in held, f"docs/faults.md has no row for {name}"


@pytest.mark.parametrize(
    "reference",
    sorted(
        {
            each
            for page in ("compatibility", "faults", "security")
            for each in REFERENCES.findall(prose(f"docs/{page}.md"))
        }
    ),
)
def test_a_test_that_the_docs_name_is_there(reference):
    path, name = reference.split("::")
    assert re.search(rf"^ *(async )?def {name}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE)
