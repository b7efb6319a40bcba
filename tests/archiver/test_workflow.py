"""Workflow archives: what `workflow-archiver` makes (contract: archiver, section 9), and what is refused when read."""

import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from numserve.archiver import ArchiveError, Limits, WorkflowArchiverConfig, pack_workflow, unpack_workflow
from numserve.archiver.workflow_cli import main

SPEC = "models:\n  m: {url: m.mar}\ndag:\n  pre: [m]\n"


@pytest.fixture(autouse=True)
def workflow(project: Path) -> Path:
    """A specification in the project's folder; its handler.py stands for the functions."""
    (project / "workflow.yaml").write_text(SPEC)
    return project


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["--workflow-name", "flow", "--spec-file", "workflow.yaml", *arguments])


def test_the_layout_is_torch_workflow_archivers(tmp_path: Path) -> None:
    done = run(
        "--handler", "handler.py", "--extra-files", "index_to_name.json,assets/top.txt", "--export-path", "store"
    )
    assert (done.exit_code, done.output) == (0, "")
    with zipfile.ZipFile("store/flow.war") as archive:
        names = archive.namelist()
        manifest = archive.read("WAR-INF/MANIFEST.json")
    assert names == ["workflow.yaml", "handler.py", "index_to_name.json", "top.txt", "WAR-INF/MANIFEST.json"]
    told = json.loads(manifest)
    assert list(told) == ["createdOn", "workflow", "archiverVersion"]
    assert told["workflow"] == {"workflowName": "flow", "specFile": "workflow.yaml", "handler": "handler.py"}
    assert manifest == json.dumps(told, indent=2).encode()
    assert unpack_workflow(Path("store/flow.war"), tmp_path / "out").name == "flow"
    assert (tmp_path / "out" / "workflow.yaml").read_text() == SPEC


def test_a_handler_is_not_needed() -> None:
    assert run().exit_code == 0
    assert unpack_workflow(Path("flow.war"), Path("out")).handler is None


def test_what_is_there_stays_without_force() -> None:
    assert run().exit_code == 0
    again = run()
    assert (again.exit_code, again.stderr.splitlines()[0]) == (1, f"ERROR - {Path.cwd()}/flow.war already exists.")
    assert run("--force").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--workflow-name", "a b"], 1, "ERROR - Workflow name contains special characters.\nThe allowed regular"),
        (["--spec-file", "none.yaml"], 1, "ERROR - --spec-file none.yaml: there is no such file"),
        (["--handler", "none.py"], 1, "ERROR - --handler none.py: there is no such file"),
        (["--extra-files", "none.txt"], 1, "ERROR - File does not exist: none.txt"),
        (["--export-path", "weights.pt"], 1, "ERROR - Given export-path weights.pt is not a directory."),
        (["--unknown"], 2, "No such option"),
    ],
)
def test_what_cannot_be_packed_is_told(arguments: list[str], code: int, words: str) -> None:
    done = run(*arguments)
    assert (done.exit_code, words in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize("flag", ["--workflow-name", "--spec-file"])
def test_two_flags_are_required(flag: str) -> None:
    others = {"--workflow-name": "flow", "--spec-file": "workflow.yaml"}
    del others[flag]
    done = CliRunner().invoke(main, [part for pair in others.items() for part in pair])
    assert (done.exit_code, f"Missing option '{flag}'" in done.stderr) == (2, True)


def folder(manifest: object) -> Path:
    made = Path("kept")
    (made / "WAR-INF").mkdir(parents=True)
    (made / "WAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    (made / "workflow.yaml").write_text(SPEC)
    return made


HONEST = {
    "createdOn": "01/02/2026 03:04:05", "workflow": {"workflowName": "flow", "specFile": "workflow.yaml"},
    "archiverVersion": "0.2.15",
}  # fmt: skip


def test_a_folder_is_used_in_place() -> None:
    assert unpack_workflow(folder(HONEST), Path("out")).spec_file == "workflow.yaml"
    assert Path("out").is_symlink()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"archiverVersion": None}, "Workflow archive version is not defined."),
        ({"createdOn": None}, "Workflow archive createdOn is not defined."),
        ({"workflow": None}, "Missing Workflow entry in manifest file."),
        ({"workflow": {"workflowName": "flow"}}, "Workflow specFile is not defined."),
        ({"workflow": {"specFile": "../workflow.yaml"}}, "workflow.specFile names no file of the archive"),
        ({"workflow": {"specFile": "other.yaml"}}, "names 'other.yaml' as workflow.specFile"),
        ({"workflow": {"specFile": "workflow.yaml", "handler": "h.py"}}, "names 'h.py' as workflow.handler"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        unpack_workflow(folder(HONEST | changes), Path("out"))


def test_a_models_archive_is_no_workflows() -> None:
    with zipfile.ZipFile("m.war", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", "{}")
    with pytest.raises(ArchiveError, match="m.war: there is no WAR-INF/MANIFEST.json"):
        unpack_workflow(Path("m.war"), Path("out"))
    assert not Path("out").exists()


def test_it_is_held_to_the_limits_of_a_models_archive() -> None:
    pack_workflow(WorkflowArchiverConfig("flow", "workflow.yaml", extra_files="weights.pt"))
    with pytest.raises(ArchiveError, match="'weights.pt' unpacks to 9000 bytes"):
        unpack_workflow(Path("flow.war"), Path("out"), Limits(file_bytes=8000))
    with zipfile.ZipFile("evil.war", "w") as archive:
        archive.writestr("../evil", "")
    with pytest.raises(ArchiveError, match="leads out of its folder"):
        unpack_workflow(Path("evil.war"), Path("out"))
