"""What `inspect` finds in an archive."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from numserve.archiver import ArchiveError, ModelArchiverConfig, pack
from numserve.archiver.contents import inspect

Config = Callable[..., ModelArchiverConfig]


@pytest.fixture
def checkpoint(project: Path) -> None:
    """Make the weights a file with the members of a torch checkpoint."""
    with zipfile.ZipFile("weights.pt", "w") as archive:
        archive.writestr("weights/data.pkl", b"\x80\x02}.")
        archive.writestr("weights/version", b"3\n")


@pytest.mark.parametrize(
    ("archive_format", "container"),
    [("default", "zip"), ("zip-store", "zip"), ("tgz", "tar.gz"), ("no-archive", "folder")],
)
@pytest.mark.usefixtures("checkpoint")
def test_files_checksums_and_the_weights_format(
    project: Path, config: Config, archive_format: str, container: str
) -> None:
    archive = pack(config(archive_format=archive_format, extra_files="assets"))
    contents = inspect(archive, sha256=True)
    assert contents.container == container
    assert contents.weights_format == "checkpoint-zip"
    found = {item.name: (item.size, item.sha256) for item in contents.items}
    manifest = found.pop("MAR-INF/MANIFEST.json")
    sources = {"weights.pt": "weights.pt", "handler.py": "handler.py", "top.txt": "assets/top.txt"}
    sources["vocabulary/words.txt"] = "assets/vocabulary/words.txt"
    data = {name: (project / path).read_bytes() for name, path in sources.items()}
    assert found == {name: (len(each), hashlib.sha256(each).hexdigest()) for name, each in data.items()}
    assert manifest[0] == len(json.dumps(dict(contents.manifest.raw), indent=2))


def test_checksums_are_left_out_unless_asked_for(project: Path, config: Config) -> None:
    assert {item.sha256 for item in inspect(pack(config())).items} == {None}


def test_an_archive_without_weights_has_no_weights_format(project: Path, config: Config) -> None:
    assert inspect(pack(config(serialized_file=None))).weights_format is None


def test_compressed_members_have_two_sizes(project: Path, config: Config) -> None:
    (project / "long.txt").write_text("text" * 1000)
    items = {item.name: item for item in inspect(pack(config(extra_files="long.txt"))).items}
    assert items["weights.pt"].stored == items["weights.pt"].size == 9000
    assert items["long.txt"].size == 4000 and (items["long.txt"].stored or 0) < 100


def test_the_json_form_is_plain(project: Path, config: Config) -> None:
    archive = pack(config())
    found = json.loads(json.dumps(inspect(archive).as_json()))
    assert found["manifest"]["model"]["modelName"] == "net"
    assert found["container"] == "zip" and found["archiveBytes"] == archive.stat().st_size
    assert found["files"][0] == {"name": "weights.pt", "size": 9000, "stored": 9000, "sha256": None}


def test_damaged_weights_are_an_error_that_names_the_archive(project: Path, config: Config) -> None:
    archive = pack(config())
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"weights", b"WEIGHTS", 3).replace(b"WEIGHTS.pt", b"weights.pt"))
    with pytest.raises(ArchiveError, match="^net.mar: member 'weights.pt' is damaged: its checksum differs"):
        inspect(archive)
