"""tar.gz archives made to do harm: each is refused whole, and nothing of it stays."""

import gzip
import io
import os
import random
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numserve.archiver import ArchiveError, Limits, unpack

Make = Callable[..., Path]


@pytest.fixture
def tar_of(tmp_path: Path) -> Make:
    """Write members (a name and data, or a TarInfo) to a tar.gz file."""

    def make(*members: Any, archive_format: int = tarfile.PAX_FORMAT, after: bytes = b"") -> Path:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=archive_format) as archive:
            for member in members:
                info, data = (member, b"") if isinstance(member, tarfile.TarInfo) else info_of(*member)
                archive.addfile(info, io.BytesIO(data))
        path = tmp_path / "crafted.tar.gz"
        path.write_bytes(gzip.compress(raw.getvalue() + after))
        return path

    return make


def info_of(name: str, data: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def refused(archive: Path, words: str | None = None, limits: Limits | None = None) -> None:
    before = sorted(os.listdir(archive.parent))
    with pytest.raises(ArchiveError, match=words):
        unpack(archive, archive.parent / "out", limits or Limits())
    assert sorted(os.listdir(archive.parent)) == before


@pytest.mark.parametrize(
    "name",
    [
        "../x", "top/../../x", "/etc/x", "/top/x", "top//x", "top/C:\\x", "C:\\top/x", "top/a\\b", "top/．．/x",
        "top/./x", "../top/x", "..", "top/a\nb", "top/‥", "a／b/x", "././x", "top/.. /x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("archive_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_that_leads_out_is_refused(tar_of: Make, name: str, archive_format: int) -> None:
    refused(tar_of(("top/first", b"x"), (name, b"x"), archive_format=archive_format), "the archive is refused")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "a symbolic link"), (tarfile.LNKTYPE, "a hard link"), (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"), (tarfile.FIFOTYPE, "a pipe"), (tarfile.CONTTYPE, "of type b'7'"),
        (b"Z", "of type b'Z'"),
    ],
)  # fmt: skip
def test_a_member_that_is_no_file_is_refused(tar_of: Make, kind: bytes, words: str) -> None:
    info = tarfile.TarInfo("top/x")
    info.type, info.linkname = kind, "/etc/passwd"
    refused(tar_of(("top/first", b"x"), info, ("top/x/y", b"data")), f"'top/x' is {words}; the archive is refused")


def test_a_name_that_is_used_twice_is_refused(tar_of: Make) -> None:
    refused(tar_of(("a/x", b"1"), ("b/x", b"2")), "'x' is there twice")
    refused(tar_of(("a/x", b"1"), ("a/x/y", b"2")), "'x' is a file and a folder")


def test_bytes_after_the_end_are_refused(tar_of: Make) -> None:
    refused(tar_of(("top/x", b""), after=b"hidden"), "bytes after the end of the tar data")
    archive = tar_of(("top/x", b""))
    archive.write_bytes(archive.read_bytes() + b"hidden")
    refused(archive, "bytes after the end of the compressed data")
    archive = tar_of(("top/x", b""))
    archive.write_bytes(archive.read_bytes() + gzip.compress(b""))
    refused(archive, "bytes after the end of the compressed data")


def test_a_sparse_file_is_refused(tar_of: Make) -> None:
    info, _ = info_of("top/x")
    info.pax_headers = {"GNU.sparse.realsize": str(1 << 50)}
    refused(tar_of(info), "the tar header GNU.sparse.realsize is not supported")


def test_a_global_header_that_renames_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "g.tar.gz", "w:gz", pax_headers={"path": "x"}) as archive:
        archive.addfile(tarfile.TarInfo("top/y"))
    refused(tmp_path / "g.tar.gz", "the tar header path is not supported")


def test_a_global_comment_is_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "g.tar.gz", "w:gz", pax_headers={"comment": "0a1b2c"}) as archive:
        archive.addfile(tarfile.TarInfo("top/y"))
    unpack(tmp_path / "g.tar.gz", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["y"]


@pytest.mark.parametrize(
    "record",
    [b"8 path=x\n", b"99 path=x\n", b"x path=x\n", b"6 path\n", b"9 path=\xff\n", b"10 size=-1\n", b"10 size=1x\n"],
)
def test_an_extended_header_that_is_damaged_is_refused(tmp_path: Path, record: bytes) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    body = info.tobuf() + record.ljust(512, b"\0") + tarfile.TarInfo("top/x").tobuf() + bytes(1024)
    (tmp_path / "p.tar.gz").write_bytes(gzip.compress(body))
    refused(tmp_path / "p.tar.gz", "extended tar header is damaged|a size that is no number")


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("top/x")
    info.size = -512
    (tmp_path / "n.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))
    refused(tmp_path / "n.tar.gz", "has a negative size")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_an_endless_extended_header_is_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 1 << 40
    (tmp_path / "l.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    refused(tmp_path / "l.tar.gz", "an extended tar header has 1099511627776 bytes")


def test_a_bomb_of_extended_headers_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("long")
    info.type = tarfile.GNUTYPE_LONGNAME
    (tmp_path / "l.tar.gz").write_bytes(gzip.compress(info.tobuf() * 100 + bytes(1024)))
    refused(tmp_path / "l.tar.gz", "is of type b'L'")


def test_a_bomb_of_a_ratio_is_refused(tar_of: Make) -> None:
    started = time.perf_counter()
    refused(tar_of(("top/zeros", bytes(64 << 20))), "more than 300 times its size")
    assert time.perf_counter() - started < 10


def test_many_members_are_refused(tar_of: Make) -> None:
    refused(tar_of(*((f"top/{number}", b"") for number in range(10_001))), "more than 10000 members")


def test_a_size_beyond_the_data_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("top/x")
    info.size = 5000
    (tmp_path / "s.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(1024)))
    refused(tmp_path / "s.tar.gz", "the tar data ends early")


def test_a_header_that_is_no_header_is_refused(tmp_path: Path) -> None:
    for body in (b"x" * 1024, b"", b"x", tarfile.TarInfo("top/x").tobuf()):
        (tmp_path / "h.tar.gz").write_bytes(gzip.compress(body))
        refused(tmp_path / "h.tar.gz", "the tar data is damaged|ends early")


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    block = tarfile.TarInfo("top/é").tobuf(tarfile.USTAR_FORMAT, "latin-1")
    (tmp_path / "u.tar.gz").write_bytes(gzip.compress(block + bytes(1024)))
    refused(tmp_path / "u.tar.gz", "a name that is not UTF-8")


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(tarfile.TarInfo("top/x").tobuf() + bytes(1024))
    refused(tmp_path / "x.tar.gz", "this is not a tar.gz file")


def test_an_archive_cut_off_anywhere_or_damaged_is_refused(tar_of: Make) -> None:
    chance = random.Random(5)
    whole = tar_of(("top/a", chance.randbytes(3000)), ("top/b", b"b")).read_bytes()
    cut = Path(tar_of().parent / "cut.tar.gz")
    for length in range(0, len(whole), 61):
        cut.write_bytes(whole[:length])
        refused(cut)
    for _ in range(200):
        data = bytearray(whole)
        data[chance.randrange(10, len(data))] ^= 1 << chance.randrange(8)
        cut.write_bytes(data)
        refused(cut)
