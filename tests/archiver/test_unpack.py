"""Unpacking: what was packed comes back, in a private folder, with its manifest; folders are linked."""

import io
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numserve.archiver import ArchiveError, Limits, Manifest, ModelArchiverConfig, pack, read_manifest, unpack

Config = Callable[..., ModelArchiverConfig]
FORMATS = ["default", "zip-store", "tgz", "no-archive"]


def tree(folder: Path) -> dict[str, bytes]:
    """The files below a folder by their names in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "MAR-INF"
    }


@pytest.mark.parametrize("archive_format", FORMATS)
def test_what_was_packed_comes_back(project: Path, config: Config, archive_format: str) -> None:
    archive = pack(
        config(
            model_file="model.py", extra_files="assets=assets,index_to_name.json", config_file="settings.yaml",
            archive_format=archive_format,
        )
    )  # fmt: skip
    manifest = unpack(archive, project / "out")
    wanted = ["weights.pt", "model.py", "handler.py", "index_to_name.json", "settings.yaml", "assets/top.txt"]
    wanted += ["assets/vocabulary/words.txt"]
    assert tree(project / "out") == {name: (project / name).read_bytes() for name in wanted}
    assert manifest == read_manifest(archive)
    assert (manifest.model.name, manifest.model.config_file) == ("net", "settings.yaml")


PARTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters='/\\:,=*?[]"'), max_size=8
)
NAMES = st.lists(PARTS.filter(lambda part: part.strip(" .")), min_size=1, max_size=3).map("/".join)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=6), st.sampled_from(FORMATS))
def test_pack_then_unpack_is_the_identity(files: dict[str, bytes], archive_format: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        source = base / "source"
        source.mkdir()
        for name, data in files.items():
            try:
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_bytes(data)
            except OSError:  # a file where another name has a folder
                continue
        config = ModelArchiverConfig(
            "m", "base_handler", "1", extra_files=f"all={source}", export_path=temporary, archive_format=archive_format
        )
        try:
            archive = pack(config)
        except ArchiveError as error:  # names that are one after normalization, or would lead out: refused, whole
            assert "the archive is refused" in str(error)
            assert os.listdir(base) == ["source"]
            return
        unpack(archive, base / "out")
        packed = {f"all/{name}": data for name, data in tree(source).items() if not left_out(name)}
        assert tree(base / "out") == packed


def left_out(name: str) -> bool:
    return any(part.startswith(".") or part in ("__MACOSX", "__pycache__") for part in name.split("/")[:-1])


def test_only_the_owner_can_look_into_what_is_unpacked(project: Path, config: Config) -> None:
    unpack(pack(config(extra_files="assets")), project / "out")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (project / "out").rglob("*") if path.is_dir()}
    assert modes | {stat.S_IMODE((project / "out").stat().st_mode)} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (project / "out").rglob("*") if path.is_file()} == {0o600}


def test_an_empty_folder_is_taken_and_made_private(project: Path, config: Config) -> None:
    (project / "out").mkdir(0o755)
    unpack(pack(config()), project / "out")
    assert stat.S_IMODE((project / "out").stat().st_mode) == 0o700


@pytest.mark.parametrize("archive_format", FORMATS)
def test_a_place_that_is_taken_is_refused_and_left_alone(project: Path, config: Config, archive_format: str) -> None:
    archive = pack(config(archive_format=archive_format))
    (project / "link").symlink_to("nowhere")
    for place in ("assets", "model.py", "link"):
        with pytest.raises(ArchiveError, match="is there already and is not an empty folder"):
            unpack(archive, project / place)
    assert (project / "assets" / "top.txt").exists() and (project / "link").is_symlink()


# folders


def test_a_folder_is_linked(project: Path, config: Config) -> None:
    folder = pack(config(archive_format="no-archive"))
    assert unpack(folder, project / "out").model.name == "net"
    assert (project / "out").is_symlink() and (project / "out").resolve() == folder.resolve()


def test_a_folder_of_one_folder_is_entered(project: Path, config: Config) -> None:
    folder = pack(config(archive_format="no-archive"))
    assert unpack(project / "store", project / "out").model.name == read_manifest(project / "store").model.name == "net"
    assert (project / "out").resolve() == folder.resolve()


def test_a_folder_with_a_manifest_alone_is_a_model(project: Path, config: Config) -> None:
    folder = pack(config(archive_format="no-archive", handler="base_handler", serialized_file=None))
    unpack(folder, project / "out")
    assert (project / "out").resolve() == folder.resolve()


def test_a_folder_without_the_files_it_names_is_refused(project: Path, config: Config) -> None:
    folder = pack(config(archive_format="no-archive"))
    (folder / "weights.pt").unlink()
    with pytest.raises(ArchiveError, match="'weights.pt' as model.serializedFile"):
        unpack(folder, project / "out")
    assert not (project / "out").is_symlink()


# archives of other makers


def test_an_archive_without_a_manifest_has_a_default_one(project: Path) -> None:
    with zipfile.ZipFile("plain.mar", "w") as archive:
        archive.writestr("a.py", "")
    assert unpack(Path("plain.mar"), project / "out") == read_manifest(Path("plain.mar")) == Manifest()
    assert Manifest().runtime == "python" and Manifest().model.name is None and Manifest().raw == {}


def test_an_empty_zip_is_an_archive_without_anything(project: Path) -> None:
    zipfile.ZipFile("empty.mar", "w").close()
    unpack(Path("empty.mar"), project / "out")
    assert os.listdir(project / "out") == []


def test_a_zip_written_to_a_pipe_is_read(project: Path, manifest_bytes: bytes) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", "")
        archive.writestr("folder/a.txt", "text" * 100)
        with archive.open("b.txt", "w", force_zip64=True) as wide:
            wide.write(b"b")
        archive.writestr("MAR-INF/MANIFEST.json", manifest_bytes)
    Path("piped.mar").write_bytes(pipe.getvalue())
    assert unpack(Path("piped.mar"), project / "out").model.name == "m"
    assert tree(project / "out") == {"folder/a.txt": b"text" * 100, "b.txt": b"b"}


def test_a_zip_with_a_comment_is_read(project: Path) -> None:
    with zipfile.ZipFile("noted.mar", "w") as archive:
        archive.comment = b"made by hand"
    unpack(Path("noted.mar"), project / "out")


@pytest.mark.parametrize("archive_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("top", ["net", "."])
def test_a_tar_of_any_maker_is_read_without_its_first_folder(
    project: Path, manifest_bytes: bytes, archive_format: int, top: str
) -> None:
    long = "f" * 90 + "/" + "n" * 60
    (project / "assets" / "MAR-INF").mkdir()
    (project / "assets" / "MAR-INF" / "MANIFEST.json").write_bytes(manifest_bytes)
    (project / "assets" / long).parent.mkdir()
    (project / "assets" / long).write_bytes(b"x" * 1000)
    with tarfile.open("net.tar.gz", "w:gz", format=archive_format) as archive:
        archive.add("assets", top)
    assert (
        unpack(Path("net.tar.gz"), project / "out")
        == read_manifest(Path("net.tar.gz"))
        == Manifest.parse(manifest_bytes)
    )
    assert tree(project / "out") == tree(project / "assets")


def test_a_suffix_other_than_mar_is_read_as_tar(project: Path, config: Config) -> None:
    pack(config(archive_format="tgz")).rename("net.model")
    assert unpack(Path("net.model"), project / "out").model.name == "net"


def test_a_file_with_the_other_formats_suffix_is_named(project: Path, config: Config) -> None:
    pack(config()).rename("net.tar.gz")
    pack(config(archive_format="tgz")).rename("net.mar")
    with pytest.raises(ArchiveError, match=r"^net.tar.gz: .* it is a ZIP file, so its name should end in .mar"):
        read_manifest(Path("net.tar.gz"))
    with pytest.raises(ArchiveError, match=r"^net.mar: .* it is gzip data, so its name should end in .tar.gz"):
        read_manifest(Path("net.mar"))


# refusals


def test_a_missing_archive_is_named(project: Path) -> None:
    os.mkfifo("pipe.mar")
    for name in ("none.mar", "pipe.mar"):
        with pytest.raises(ArchiveError, match=f"^{name}: there is no such file or folder$"):
            unpack(Path(name), project / "out")


@pytest.mark.parametrize("key", ["serializedFile", "modelFile", "configFile", "requirementsFile"])
def test_a_file_that_the_manifest_names_must_be_there(project: Path, key: str) -> None:
    with zipfile.ZipFile("lacking.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", f'{{"runtime": "python", "model": {{"{key}": "none.x"}}}}')
    with pytest.raises(ArchiveError, match=f"'none.x' as model.{key}, and the archive holds no such file"):
        unpack(Path("lacking.mar"), project / "out")
    assert not (project / "out").exists()


@pytest.mark.parametrize("archive_format", FORMATS)
def test_a_huge_manifest_is_refused(project: Path, config: Config, archive_format: str) -> None:
    archive = pack(config(archive_format=archive_format))
    limits = Limits(manifest_bytes=100)
    with pytest.raises(ArchiveError, match="MANIFEST.json has .* bytes; the most that is accepted is 100"):
        unpack(archive, project / "out", limits)
    with pytest.raises(ArchiveError, match="MANIFEST.json has .* bytes; the most that is accepted is 100"):
        read_manifest(archive, limits)
    assert not os.path.lexists(project / "out")


@pytest.mark.parametrize("archive_format", ["default", "zip-store", "tgz"])
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(entries=3), "more than 3 members"),
        (Limits(total_bytes=9000), "unpacks to more than 9000 bytes"),
        (Limits(file_bytes=8999), "'(net/)?weights.pt' unpacks to 9000 bytes; the most that is accepted is 8999"),
        (Limits(path_bytes=9), "a name longer than 9 bytes"),
        (Limits(ratio=1, ratio_from_bytes=10), "more than 1 times its size"),
    ],
)
def test_limits_hold(project: Path, config: Config, archive_format: str, limits: Limits, words: str) -> None:
    archive = pack(config(archive_format=archive_format, extra_files="assets,all=assets"))
    if limits.ratio == 1 and archive_format != "tgz":
        unpack(archive, project / "out", limits)  # its weights are not compressed
        return
    with pytest.raises(ArchiveError, match=words):
        unpack(archive, project / "out", limits)
    assert not (project / "out").exists()


def test_a_full_disk_leaves_nothing(project: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(config(extra_files="assets"))
    whole = os.open

    def full(path: str, flags: int, *arguments: int, **more: int) -> int:
        if path == "words.txt":
            raise OSError(28, "No space left on device")
        return whole(path, flags, *arguments, **more)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space left on device"):
        unpack(archive, project / "out")
    assert not (project / "out").exists()


def test_names_that_are_one_to_the_file_system_are_refused(
    project: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "assets" / "TOP.txt").write_text("other")
    archive = pack(config(extra_files="assets"))
    whole = os.open

    def regardless_of_case(path: str | Path, flags: int, *arguments: int, **more: int) -> int:
        return whole("top.txt" if path == "TOP.txt" else path, flags, *arguments, **more)

    monkeypatch.setattr(os, "open", regardless_of_case)
    with pytest.raises(ArchiveError, match=r"'top.txt' is there twice"):
        unpack(archive, project / "out")
    assert not (project / "out").exists()
