"""Choices of algorithms in an archive: put there when packing or later, kept for other machines, never half."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from numserve.archiver import ArchiveError, ModelArchiverConfig, pack, tuning, unpack
from numserve.archiver.cli import main
from numserve.archiver.contents import inspect
from numserve.archiver.tuning import CHOICES_NAME, NotTuned, pack_tuned, tune
from numserve.engine.executors.choices import cpu_model
from numserve.handlers import fast_path

Config = Callable[..., ModelArchiverConfig]
FORMATS = ["default", "zip-store", "tgz", "no-archive"]
NET = """
from numserve.engine import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))
"""
ADDS = """
import json, pathlib, sys
model, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[3])
stored = model / "MAR-INF" / "choices.json"
choices = json.loads(stored.read_text()) if stored.exists() else []
output.write_text(json.dumps([*choices, sys.argv[4:]]))
print(json.dumps({"ok": True, "seconds": 1, "cpu": "a CPU", "executor": "native", "threads": [1], "batches": [1, 8],
                  "choices": 7}))
"""


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go during the test."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def adding(scratch: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in place of the one that loads models: it adds what it was asked for to the choices that are there."""
    monkeypatch.setattr(tuning, "PROGRAM", ("-c", ADDS))


@pytest.fixture
def failing(scratch: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that cannot tune."""
    report = {"ok": False, "phase": "tune", "error": "the model runs eager: it is moody", "hint": "cheer it up"}
    monkeypatch.setattr(tuning, "PROGRAM", ("-c", f"print({json.dumps(report)!r})"))


def choices_in(archive: Path, tmp_path: Path) -> Any:
    """The choices in an archive."""
    unpack(archive, folder := Path(tempfile.mkdtemp(dir=tmp_path)))
    return json.loads((folder / CHOICES_NAME).read_text())


def test_the_place_is_where_workers_look() -> None:
    assert CHOICES_NAME == fast_path.CHOICES_FILE


@pytest.mark.usefixtures("adding")
@pytest.mark.parametrize("archive_format", FORMATS)
def test_packing_with_choices_and_again(config: Config, tmp_path: Path, scratch: Path, archive_format: str) -> None:
    packing = config(archive_format=archive_format, force=True)

    pack_tuned(packing, batches=[1, 8])
    pack_tuned(packing, threads=[2])

    assert choices_in(packing.output, tmp_path) == [["--batches", "1,8"], ["--threads", "2"]]
    assert os.listdir(scratch) == []


@pytest.mark.usefixtures("adding")
@pytest.mark.parametrize("archive_format", FORMATS)
def test_an_archive_that_is_there_gets_choices(
    config: Config, tmp_path: Path, scratch: Path, archive_format: str
) -> None:
    archive = pack(config(archive_format=archive_format))
    before = inspect(archive, sha256=True)

    tune(archive)
    tune(archive, batches=[4])

    after = inspect(archive, sha256=True)
    assert choices_in(archive, tmp_path) == [[], ["--batches", "4"]]
    assert {i.name: i.sha256 for i in after.items if i.name != CHOICES_NAME} == {i.name: i.sha256 for i in before.items}
    stored = {i.name: i.stored for i in before.items}
    assert all(i.stored == stored[i.name] for i in after.items if i.name != CHOICES_NAME)
    assert os.listdir(scratch) == []


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("archive_format", FORMATS)
def test_what_cannot_be_tuned_is_not_packed(config: Config, archive_format: str) -> None:
    packing = config(archive_format=archive_format)

    with pytest.raises(NotTuned, match=r"could not be tuned \(tune\): the model runs eager: it is moody"):
        pack_tuned(packing)

    assert os.listdir("store") == []


@pytest.mark.usefixtures("failing")
def test_what_cannot_be_tuned_stays_as_it_is(config: Config) -> None:
    content = (archive := pack(config())).read_bytes()

    with pytest.raises(NotTuned):
        tune(archive)

    assert archive.read_bytes() == content
    assert os.listdir("store") == ["net.mar"]


@pytest.mark.usefixtures("adding")
def test_an_archive_is_overwritten_only_when_told(config: Config, tmp_path: Path) -> None:
    (pack(config())).write_bytes(b"broken")

    with pytest.raises(ArchiveError, match="already exists"):
        pack_tuned(config())
    pack_tuned(config(force=True))

    assert choices_in(config().output, tmp_path) == [[]]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


PACK = ["--model-name", "net", "--handler", "handler.py", "--version", "1.0", "--export-path", "store"]


@pytest.mark.usefixtures("adding")
def test_the_flags(tmp_path: Path) -> None:
    packed = run(*PACK, "--tune", "--tune-batches", "1,8", "--tune-threads", "1, 2")
    tuned = run("tune", "store/net.mar", "--threads", "4")

    assert (packed.exit_code, packed.output) == (0, "")
    assert choices_in(Path("store/net.mar"), tmp_path) == [
        ["--batches", "1,8", "--threads", "1,2"], ["--threads", "4"],
    ]  # fmt: skip
    assert tuned.output == (
        "net.mar: tuned for a CPU in 1.0 s: 7 choices for the native executor, batches 1, 8, threads 1\n"
    )


@pytest.mark.usefixtures("failing")
def test_what_went_wrong_is_told() -> None:
    result = run(*PACK, "--tune")

    assert result.exit_code == 1
    assert result.stderr == (
        "ERROR - could not be tuned (tune): the model runs eager: it is moody\n  hint: cheer it up\n"
    )


@pytest.mark.parametrize(
    "flags", [["--tune", "--tune-batches", "0"], ["--tune", "--tune-threads", "1,x"], ["--tune-batches", "1"]]
)
def test_usage_errors(project: Path, flags: list[str]) -> None:
    assert run(*PACK, *flags).exit_code == 2


def test_a_real_model_is_tuned_for_this_machine(project: Path, config: Config, tmp_path: Path) -> None:
    Path("net.py").write_text(NET)
    Path("settings.yaml").write_text("batchSize: 2\nengine: {inputs: [[1, 3, 8, 8]], threads: 1}\n")
    packing = config(
        handler="base_handler", model_file="net.py", config_file="settings.yaml", serialized_file=None, force=True
    )

    verdict = pack_tuned(packing)
    stored = choices_in(packing.output, tmp_path)

    assert (verdict.facts["batches"], verdict.facts["threads"]) == ([1, 2], [1])
    assert verdict.facts["choices"] == len(stored["choices"][cpu_model()]) > 0

    stored["choices"]["another CPU"] = {"key": "way"}
    unpack(packing.output, model := tmp_path / "model")
    (model / CHOICES_NAME).write_text(json.dumps(stored))
    tune(model, batches=[3])

    tuned = json.loads((model / CHOICES_NAME).read_text())["choices"]
    assert tuned["another CPU"] == {"key": "way"}
    assert all("3x8x8x3" in key or "-> 3x" in key for key in tuned[cpu_model()])


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ("batchSize: 2\n", "nothing says what its inputs look like"),
        ("engine: {executor: eager}\n", "the model runs eager: engine.executor says so"),
        ("engine: {threads: x}\n", "engine.threads: met 'x'; expected a whole number of at least 1"),
    ],
)
def test_a_real_model_that_cannot_be_tuned(project: Path, config: Config, settings: str, error: str) -> None:
    Path("net.py").write_text(NET)
    Path("settings.yaml").write_text(settings)

    with pytest.raises(NotTuned, match=error):
        pack_tuned(
            config(handler="base_handler", model_file="net.py", config_file="settings.yaml", serialized_file=None)
        )
