"""Packing: the four formats, the manifest, what goes in, and that a run that fails leaves nothing."""

import io
import json
import os
import re
import stat
import sys
import tarfile
import zipfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from numserve import __version__
from numserve.archiver import ArchiveError, MissingFile, ModelArchiver, ModelArchiverConfig, archive, pack, writers
from numserve.archiver.limits import DEFAULT_LIMITS
from numserve.archiver.sources import FOREIGN_HANDLERS, HANDLERS
from numserve.archiver.zip_reader import ZipReader
from numserve.handlers.loading import BUILTIN, NOT_YET

Config = Callable[..., ModelArchiverConfig]


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        return opened.namelist()


def manifest(archive: Path) -> dict[str, Any]:
    with zipfile.ZipFile(archive) as opened:
        return json.loads(opened.read("MAR-INF/MANIFEST.json"))


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# formats


def test_the_default_format_is_a_zip_with_the_manifest_last(project: Path, config: Config) -> None:
    archive = pack(config(model_file="model.py", requirements_file="requirements.txt", config_file="settings.yaml"))
    assert archive == Path("store/net.mar")
    assert names(archive) == [
        "model.py", "weights.pt", "handler.py", "requirements.txt", "settings.yaml", "MAR-INF/MANIFEST.json",
    ]  # fmt: skip


def test_the_default_format_stores_weights_and_deflates_text(project: Path, config: Config) -> None:
    (project / "long.txt").write_bytes(bytes(writers.DEFLATE_UP_TO + 1))
    (project / "picture.PNG").touch()
    archive = pack(config(serialized_file="index_to_name.json", extra_files="weights.pt,assets,long.txt,picture.PNG"))
    with zipfile.ZipFile(archive) as opened:
        methods = {info.filename: info.compress_type for info in opened.infolist()}
    stored = {name for name, method in methods.items() if method == zipfile.ZIP_STORED}
    assert stored == {"index_to_name.json", "weights.pt", "long.txt", "picture.PNG"}
    assert methods["top.txt"] == zipfile.ZIP_DEFLATED


def test_zip_store_stores_everything(project: Path, config: Config) -> None:
    with zipfile.ZipFile(pack(config(archive_format="zip-store", extra_files="assets"))) as opened:
        assert {info.compress_type for info in opened.infolist()} == {zipfile.ZIP_STORED}


def test_stored_data_begins_at_a_multiple_of_64(project: Path, config: Config) -> None:
    for length in range(1, 71):
        (project / f"{'n' * length}.bin").write_bytes(b"x" * length)
    with pack(config(archive_format="zip-store", extra_files="*.bin")).open("rb") as file:
        members = ZipReader(file, DEFAULT_LIMITS).members
    assert len(members) == 73
    assert {member.start % 64 for member in members} == {0}


def test_a_file_beyond_4_gib_may_be_packed(project: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    archive = pack(config(archive_format="zip-store"))
    with archive.open("rb") as file:
        reader = ZipReader(file, DEFAULT_LIMITS)
        data = {member.entry.name: b"".join(reader.read(member)) for member in reader.members}
        assert {member.start % 64 for member in reader.members} == {0}
    assert data["weights.pt"] == (project / "weights.pt").read_bytes()


def test_tgz_holds_everything_below_the_name(project: Path, config: Config) -> None:
    archive = pack(config(archive_format="tgz", extra_files="assets"))
    assert archive == Path("store/net.tar.gz")
    with tarfile.open(archive) as opened:
        found = {info.name: opened.extractfile(info).read() for info in opened}  # type: ignore[union-attr]
    assert found.keys() == {
        f"net/{name}"
        for name in ("MAR-INF/MANIFEST.json", "weights.pt", "handler.py", "top.txt", "vocabulary/words.txt")
    }
    assert found["net/weights.pt"] == (project / "weights.pt").read_bytes()


def test_no_archive_makes_a_folder(project: Path, config: Config) -> None:
    os.utime("weights.pt", (1e9, 1e9))
    folder = pack(config(archive_format="no-archive", extra_files="assets"))
    assert folder == Path("store/net")
    assert left_over(folder) == ["MAR-INF", "handler.py", "top.txt", "vocabulary", "weights.pt"]
    assert (folder / "weights.pt").stat().st_mtime == 1e9


# manifest


def test_the_manifest_is_written_as_torch_model_archiver_does(project: Path, config: Config) -> None:
    (project / "code").mkdir()
    (project / "handler.py").rename("code/handler.py")
    archive = pack(
        config(
            handler="code/handler:go", model_file="./model.py", requirements_file="requirements.txt",
            config_file="settings.yaml", runtime="python3", version="2.0",
        )
    )  # fmt: skip
    with zipfile.ZipFile(archive) as opened:
        text = opened.read("MAR-INF/MANIFEST.json").decode()
    created = re.search(r'"createdOn": "(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d)"', text)
    assert created
    assert (
        text
        == f"""{{
  "createdOn": "{created[1]}",
  "runtime": "python3",
  "model": {{
    "modelName": "net",
    "serializedFile": "weights.pt",
    "handler": "handler:go",
    "modelFile": "model.py",
    "modelVersion": "2.0",
    "requirementsFile": "requirements.txt",
    "configFile": "settings.yaml"
  }},
  "archiverVersion": "{__version__}"
}}"""
    )


def test_what_is_not_given_is_not_in_the_manifest(project: Path, config: Config) -> None:
    archive = pack(config(handler="image_classifier", serialized_file=None, version="", config_file=""))
    assert manifest(archive)["model"] == {"modelName": "net", "handler": "image_classifier"}
    assert names(archive) == ["MAR-INF/MANIFEST.json"]


# handlers


@pytest.mark.parametrize(
    ("given", "stored", "file"),
    [
        ("handler.py", "handler.py", "handler.py"),
        ("handler", "handler", "handler.py"),
        ("./handler:go", "handler:go", "handler.py"),
        ("handler.py:go", "handler:go", "handler.py"),
        ("base_handler", "base_handler", None),
        ("image_classifier", "image_classifier", None),
    ],
)
def test_a_handler_is_stored_by_its_base_name(
    project: Path, config: Config, given: str, stored: str, file: str | None
) -> None:
    archive = pack(config(handler=given, serialized_file=None))
    assert manifest(archive)["model"]["handler"] == stored
    assert names(archive) == [*filter(None, [file]), "MAR-INF/MANIFEST.json"]


@pytest.mark.parametrize("handler", ["dali_image_classifier", "vllm_handler", "trt_llm_handler"])
def test_a_handler_that_is_not_there_yet_is_refused_by_name(project: Path, config: Config, handler: str) -> None:
    with pytest.raises(ArchiveError, match=f"handler {handler} is not in this release") as caught:
        pack(config(handler=handler))
    assert all(name in str(caught.value) for name in HANDLERS)


def test_the_built_in_handlers_are_those_the_handlers_package_has() -> None:
    assert set(HANDLERS) == BUILTIN.keys()
    assert set(FOREIGN_HANDLERS) <= set(NOT_YET)


def test_a_file_of_a_built_in_name_may_be_packed(project: Path, config: Config) -> None:
    (project / "handler.py").rename("text_classifier.py")
    assert "text_classifier.py" in names(pack(config(handler="text_classifier.py")))


def test_an_lsp_handler_is_a_library(project: Path, config: Config) -> None:
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    (project / f"fast{suffix}").touch()
    assert f"fast{suffix}" in names(pack(config(handler="fast:Handler", runtime="LSP")))
    assert manifest(pack(config(handler="TorchScriptHandler", runtime="LSP", force=True)))["runtime"] == "LSP"


# extra files


def extra(config: Config, text: str) -> set[str]:
    found = names(pack(config(extra_files=text, force=True)))
    return set(found) - {"weights.pt", "handler.py", "MAR-INF/MANIFEST.json"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("index_to_name.json,settings.yaml", {"index_to_name.json", "settings.yaml"}),
        (" index_to_name.json , settings.yaml,", {"index_to_name.json", "settings.yaml"}),
        ("assets", {"top.txt", "vocabulary/words.txt"}),
        ("assets/", {"top.txt", "vocabulary/words.txt"}),
        ("assets=assets", {"assets/top.txt", "assets/vocabulary/words.txt"}),
        ("a/b=assets/vocabulary", {"a/b/words.txt"}),
        ("labels.json=index_to_name.json", {"labels.json"}),
        ("*.json", {"index_to_name.json"}),
        ("set=*.yaml", {"set/settings.yaml"}),
        ("assets/*", {"top.txt", "words.txt"}),
        ("[is]*e*[ln]", {"index_to_name.json", "settings.yaml"}),
        ("", set()),
    ],
)
def test_extra_files(project: Path, config: Config, text: str, expected: set[str]) -> None:
    assert extra(config, text) == expected


def test_a_pattern_without_a_match_is_a_warning(
    project: Path, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    assert extra(config, "*.none") == set()
    assert "Given wildcard pattern did not match any file: *.none" in caplog.messages


def test_a_missing_extra_file_is_an_error(project: Path, config: Config) -> None:
    with pytest.raises(MissingFile, match="^File does not exist: none.txt$"):
        extra(config, "none.txt")


def test_an_extra_file_that_is_a_pipe_is_an_error(project: Path, config: Config) -> None:
    os.mkfifo("pipe")
    with pytest.raises(ArchiveError, match="^Invalid extra file given pipe$"):
        extra(config, "pipe")


def test_folders_of_caches_are_left_out_and_hidden_files_kept(project: Path, config: Config) -> None:
    for name in ("__pycache__/a.pyc", "__MACOSX/a", ".git/a", "kept/.hidden", "kept/a.pyc"):
        (project / "assets" / name).parent.mkdir(exist_ok=True)
        (project / "assets" / name).touch()
    assert extra(config, "assets") == {"top.txt", "vocabulary/words.txt", "kept/.hidden", "kept/a.pyc"}


def test_links_are_followed_but_not_in_a_circle(project: Path, config: Config) -> None:
    (project / "linked").symlink_to("assets")
    (project / "more").mkdir()
    (project / "more" / "link").symlink_to("../assets")
    assert extra(config, "linked,more") == {
        "top.txt",
        "vocabulary/words.txt",
        "link/top.txt",
        "link/vocabulary/words.txt",
    }
    (project / "more" / "round").symlink_to("../more")
    with pytest.raises(ArchiveError, match="round is a link to a folder that it is in"):
        extra(config, "more")


def test_the_same_content_twice_under_a_name_is_packed_once(project: Path, config: Config) -> None:
    (project / "copy").mkdir()
    (project / "copy" / "handler.py").write_bytes((project / "handler.py").read_bytes())
    assert names(pack(config(extra_files="handler.py,copy"))).count("handler.py") == 1


def test_two_different_files_of_a_name_are_refused(project: Path, config: Config) -> None:
    (project / "assets" / "handler.py").write_text("other")
    with pytest.raises(ArchiveError, match=r"handler.py and assets/handler.py would both be handler.py .* they differ"):
        pack(config(extra_files="assets"))


@pytest.mark.parametrize("place", ["../up.json", "/top.json", "MAR-INF/MANIFEST.json", "handler.py/x"])
def test_a_place_that_cannot_be_in_an_archive_is_refused(project: Path, config: Config, place: str) -> None:
    with pytest.raises(ArchiveError):
        pack(config(extra_files=f"{place}=index_to_name.json"))
    assert left_over(project / "store") == []


# errors


@pytest.mark.parametrize("flag", ["serialized_file", "model_file", "requirements_file", "config_file", "handler"])
def test_a_missing_file_is_named_with_its_flag(project: Path, config: Config, flag: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"--{flag.replace('_', '-')} none") as caught:
        pack(config(**{flag: "none"}))
    assert isinstance(caught.value, ArchiveError)


@pytest.mark.parametrize("archive_format", ["default", "zip-store", "tgz", "no-archive"])
def test_a_second_run_needs_force(
    project: Path, config: Config, archive_format: str, caplog: pytest.LogCaptureFixture
) -> None:
    archive = pack(config(archive_format=archive_format))
    with pytest.raises(ArchiveError) as caught:
        pack(config(archive_format=archive_format))
    assert str(caught.value) == (
        f"{archive} already exists.\n"
        "Please specify --force/-f option to overwrite the model archive output file.\n"
        "See -h/--help for more details."
    )
    (project / "weights.pt").write_text("new")
    pack(config(archive_format=archive_format, force=True))
    assert f"Overwriting {archive} ..." in caplog.messages
    assert left_over(project / "store") == [archive.name]


def test_force_writes_over_a_folder_without_clearing_it(project: Path, config: Config) -> None:
    folder = pack(config(archive_format="no-archive"))
    (folder / "mine.txt").touch()
    (project / "weights.pt").write_text("new")
    pack(config(archive_format="no-archive", force=True))
    assert (folder / "weights.pt").read_text() == "new"
    assert (folder / "mine.txt").exists()


def test_an_export_path_that_is_a_file_is_an_error(project: Path, config: Config) -> None:
    with pytest.raises(ArchiveError, match="^Given export-path model.py is not a directory. Point to a valid"):
        pack(config(export_path="model.py"))


def test_a_missing_export_path_is_created(project: Path, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    assert pack(config(export_path="new/store")).is_file()
    assert "Export directory (new/store) does not exist. Creating..." in caplog.messages


@pytest.mark.parametrize("archive_format", ["default", "zip-store", "tgz", "no-archive"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_run_that_breaks_off_leaves_nothing(
    project: Path, config: Config, archive_format: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(io, "BytesIO", fail)  # the manifest of a ZIP or tar.gz
    monkeypatch.setattr(Path, "write_bytes", fail)  # the manifest of a folder
    with pytest.raises((ArchiveError, KeyboardInterrupt)) as caught:
        pack(config(archive_format=archive_format))
    monkeypatch.undo()
    if isinstance(error, OSError):
        assert 'Failed to save the model-archive to model-path "store". Check the file perm' in str(caught.value)
    assert left_over(project / "store") == []


@pytest.mark.parametrize("archive_format", ["default", "tgz", "no-archive"])
def test_of_two_runs_at_once_one_wins_and_the_other_says_so(
    project: Path, config: Config, archive_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def also_packed_elsewhere(*arguments: Any) -> None:
        monkeypatch.setattr(archive, "write_archive", write)
        pack(config(archive_format=archive_format))
        write(*arguments)

    write = archive.write_archive
    monkeypatch.setattr(archive, "write_archive", also_packed_elsewhere)
    with pytest.raises(ArchiveError, match="already exists"):
        pack(config(archive_format=archive_format))
    assert len(left_over(project / "store")) == 1


def test_a_file_system_without_hard_links_will_do(
    project: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert left_over(pack(config()).parent) == ["net.mar"]


def test_a_file_that_grows_while_it_is_packed_is_an_error(
    project: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = zipfile.ZipInfo.from_file

    def before_it_grew(*arguments: Any, **more: Any) -> zipfile.ZipInfo:
        info = honest(*arguments, **more)
        info.file_size -= 1
        return info

    monkeypatch.setattr(zipfile.ZipInfo, "from_file", before_it_grew)
    with pytest.raises(ArchiveError, match="changed while it was being packed"):
        pack(config())


def test_an_archive_may_be_read_by_whom_the_umask_allows(project: Path, config: Config) -> None:
    before = os.umask(0o027)
    try:
        assert stat.S_IMODE(pack(config()).stat().st_mode) == 0o640
    finally:
        os.umask(before)


# the programmatic interface


def test_scripts_may_call_the_archiver_as_they_did(project: Path) -> None:
    arguments = Namespace(
        model_name="net", handler="handler.py", version="1.0", serialized_file="weights.pt", model_file=None,
        extra_files=None, runtime="python", export_path=str(project), archive_format="default", force=False,
        requirements_file=None, config_file=None,
    )  # fmt: skip
    ModelArchiver.generate_model_archive(ModelArchiverConfig.from_args(arguments))
    assert (project / "net.mar").is_file()


def test_the_export_path_is_the_current_directory_unless_given(project: Path) -> None:
    assert ModelArchiverConfig("net", "handler.py", "1.0").export_path == str(project)


@pytest.mark.parametrize("flags", [{"archive_format": "rar"}, {"runtime": "ruby"}])
def test_a_choice_that_is_none_is_an_error(config: Config, flags: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        config(**flags)


def test_progress_is_told_of_every_byte(project: Path, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []

    @contextmanager
    def progress(total: int) -> Any:
        told.append(-total)
        yield told.append

    pack(config(extra_files="assets"), progress)
    assert -told[0] <= sum(told[1:]) < -told[0] + 400  # the manifest comes on top
    assert caplog.messages == []
