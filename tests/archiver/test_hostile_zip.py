"""ZIP archives made to do harm: each is refused whole, and nothing of it stays."""

import os
import random
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numserve.archiver import ArchiveError, Limits, ModelArchiverConfig, pack, read_manifest, unpack

Make = Callable[..., Path]
Member = Callable[..., Any]
GOOD_NAMES = ["a/b", "a b", ".hidden", "a..b", "é/ü", "..a", "a.", "xx:y"]
BAD_NAMES = [
    "", "/", "//", ".", "..", "../x", "../../x", "a/../../x", "a/..", "/etc/x", "a//b", "./a", "C:\\x", "C:x",
    "c:/x", "..\\x", "a\\b", "a\0b", "a\nb", "\x7f", "．．/x", "‥/x", "․․/x", "a／b", "a＼b", "℀", "../out2/x", ".. /x",
    ".../x", "n" * 256, "d/" * 600 + "x", b"\xff\xfe", "Ｃ:x", "Ｃ：x",
]  # fmt: skip


def refused(archive: Path, words: str | None = None, limits: Limits | None = None) -> None:
    """Both ways into an archive refuse it, and leave nothing."""
    out = archive.parent / "out"
    before = sorted(os.listdir(archive.parent))
    for look in (lambda: unpack(archive, out, limits or Limits()), lambda: read_manifest(archive, limits or Limits())):
        with pytest.raises(ArchiveError, match=words):
            look()
    assert sorted(os.listdir(archive.parent)) == before


def test_what_the_crafter_makes_honestly_is_accepted(zip_of: Make, crafted: Member, tmp_path: Path) -> None:
    archive = zip_of(*(crafted(name, b"data", method=8 * (i % 2)) for i, name in enumerate(GOOD_NAMES)))
    unpack(archive, tmp_path / "out")
    assert sum(path.is_file() for path in (tmp_path / "out").rglob("*")) == len(GOOD_NAMES)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_out_is_refused(zip_of: Make, crafted: Member, name: str | bytes) -> None:
    refused(zip_of(crafted("first", b"x"), crafted(name, b"x")), "the archive is refused")


@pytest.mark.parametrize(
    ("mode", "kind"), [(0o120777, "link"), (0o010644, "pipe"), (0o020644, "device"), (0o140644, "socket")]
)
def test_a_member_that_is_no_file_is_refused(zip_of: Make, crafted: Member, mode: int, kind: str) -> None:
    refused(zip_of(crafted("x", b"/etc/passwd", mode=mode)), "'x' is a link or a device")


def test_a_file_through_a_link_is_refused(zip_of: Make, crafted: Member) -> None:
    refused(zip_of(crafted("x", b"/tmp", mode=0o120777), crafted("x/y", b"data")), "refused")


@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "ａ"), ("a", "a/b"), ("a/b", "a"), ("a/", "a"), ("a", "a/"), ("a/b", "a/b/c")]
)
def test_a_name_that_is_used_twice_is_refused(zip_of: Make, crafted: Member, names: tuple[str, str]) -> None:
    refused(zip_of(*(crafted(name) for name in names)), "is there twice|is a file and a folder")


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", b"b"), ("crc", 1), ("packed", 3), ("size", 3), ("method", 8), ("flags", 2), ("extra", b"\1\0\xff\xff")],
)
def test_headers_that_disagree_are_refused(zip_of: Make, crafted: Member, field: str, value: object) -> None:
    refused(zip_of(crafted("a", b"data", local=((field, value),))), "two different ways|extra fields|reaches into")


@pytest.mark.parametrize("flag", [0x1, 0x20, 0x40, 0x2000, 0x8000])
def test_encryption_and_unknown_flags_are_refused(zip_of: Make, crafted: Member, flag: int) -> None:
    refused(zip_of(crafted("a", b"data", flags=flag)), "is encrypted|not supported")


def test_an_unknown_compression_is_refused(zip_of: Make, crafted: Member) -> None:
    refused(zip_of(crafted("a", b"data", method=12)), "compressed by method 12; only stored")


@pytest.mark.parametrize("method", [0, 8])
@pytest.mark.parametrize("size", [0, 99, 101, 2**31])
def test_a_size_that_is_not_the_real_one_is_refused(
    zip_of: Make, crafted: Member, tmp_path: Path, method: int, size: int
) -> None:
    lie = (("size", size),)
    archive = zip_of(crafted("MAR-INF/MANIFEST.json", b" " * 100, method=method, local=lie, central=lie))
    refused(archive, "unpack to the|two sizes differ|MANIFEST.json has|more than 300 times")


def test_a_checksum_that_is_wrong_is_refused(zip_of: Make, crafted: Member) -> None:
    lie = (("crc", 7),)
    refused(zip_of(crafted("MAR-INF/MANIFEST.json", b"{}", local=lie, central=lie)), "its checksum differs")


def test_damaged_deflate_data_is_refused(zip_of: Make, crafted: Member) -> None:
    lie = (("method", 8), ("size", 100))
    for data in (b"\xff" * 9, b"", b"\x03\x00more"):
        refused(
            zip_of(crafted("MAR-INF/MANIFEST.json", data, local=lie, central=lie)),
            "is damaged|ends early|after the end|unpack to",
        )


# layout


def test_bytes_around_the_zip_are_refused(zip_of: Make, crafted: Member) -> None:
    refused(zip_of(crafted("a"), after=b"x"), "bytes after its end")
    refused(zip_of(crafted("a"), after=b"PK\5\6"), "not a ZIP file, or it is cut off")
    refused(zip_of(crafted("a"), before=b"#!/bin/sh\n"), "bytes before its first member")
    refused(zip_of(crafted("a"), gap=b"hidden"), "followed by bytes that belong to no member")
    refused(zip_of(crafted("a", after=b"hidden"), crafted("b")), "followed by bytes that belong to no member")


def test_a_zip_before_a_zip_is_refused(zip_of: Make, crafted: Member) -> None:
    first = zip_of(crafted("a", b"first")).read_bytes()
    archive = zip_of(crafted("a", b"second"))
    archive.write_bytes(first + archive.read_bytes())
    refused(archive, "bytes before or after its content")


def test_members_that_overlap_are_refused(zip_of: Make, crafted: Member) -> None:
    refused(zip_of(crafted("a", b"x" * 99), crafted("a", b"x" * 99, central=(("offset", 0), ("name", b"b")))))
    refused(zip_of(crafted("a", b"x" * 99), crafted("a2", central=(("offset", 10),))), "refused|cut off")


@pytest.mark.parametrize(
    "end",
    [
        {"disk": 1}, {"count": 1}, {"count": 3}, {"size": 1}, {"start": 1}, {"comment": 5}, {"count": 65535},
        {"start": 0xFFFFFFFF}, {"size": 0xFFFFFFFF}, {"size": 0, "count": 0},
    ],
)  # fmt: skip
def test_an_end_record_that_lies_is_refused(zip_of: Make, crafted: Member, end: dict[str, int]) -> None:
    refused(zip_of(crafted("a", b"data"), crafted("b"), **end))


def test_a_zip64_field_that_lies_is_refused(zip_of: Make, crafted: Member) -> None:
    for size, extra in [
        (0xFFFFFFFF, struct.pack("<2HQ", 1, 8, 5)),
        (0xFFFFFFFF, struct.pack("<2HQ", 1, 8, 2**63)),
        (0xFFFFFFFF, struct.pack("<2HI", 1, 4, 4)),
        (4, struct.pack("<2H2Q", 1, 16, 2**40, 2**40)),
        (4, struct.pack("<2HQ2HQ", 1, 8, 4, 1, 8, 4)),
        (4, struct.pack("<3H", 1, 0, 7)),
    ]:
        lie = (("size", size), ("extra", extra))
        refused(zip_of(crafted("a", b"data", local=lie, central=lie)))


def test_a_zip64_end_record_that_lies_is_refused(zip_of: Make, crafted: Member) -> None:
    body = zip_of(crafted("a", b"data")).read_bytes()
    directory, end = body[: body.rindex(b"PK\5\6")], body[body.rindex(b"PK\5\6") :]
    count, size, start = 1, len(directory) - directory.index(b"PK\1\2"), directory.index(b"PK\1\2")
    archive = zip_of()

    def write(values: tuple[int, int, int], position: int) -> None:
        wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, values[0], *values)
        archive.write_bytes(directory + wide + struct.pack("<4sIQI", b"PK\6\7", 0, position, 1) + end)

    write((count, size, start), len(directory))
    unpack(archive, archive.parent / "honest")
    for values in [(2, size, start), (count, size + 1, start), (count, size, start - 1), (2**60, 2**60, start)]:
        write(values, len(directory))
        refused(archive, "the two end records of the ZIP file disagree")
    write((count, size, start), 0)
    refused(archive, "not where it should be")


@pytest.mark.parametrize("descriptor", [(1, 4, 4), (None, 5, 4), (None, 4, 5)])
def test_sizes_after_the_data_that_lie_are_refused(zip_of: Make, crafted: Member, descriptor: tuple[Any, ...]) -> None:
    blank = (("crc", 0), ("packed", 0), ("size", 0))
    real = zlib.crc32(b"data")

    def archive(crc: int, packed: int, size: int) -> Path:
        after = struct.pack("<4s3I", b"PK\7\10", crc, packed, size)
        return zip_of(crafted("a", b"data", flags=8, local=blank, after=after))

    unpack(archive(real, 4, 4), archive(real, 4, 4).parent / "honest")
    refused(archive(descriptor[0] or real, *descriptor[1:]), "the sizes after its data")
    refused(zip_of(crafted("a", b"data", flags=8, local=blank)), "the sizes after its data")


def test_a_second_name_is_refused(zip_of: Make, crafted: Member) -> None:
    other = struct.pack("<2HBI", 0x7075, 8, 1, 0) + b"../"
    refused(zip_of(crafted("a", b"data", extra=other)), "has two names")


# bombs


def test_a_bomb_of_a_ratio_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.mar"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("zeros", "w") as zeros:
        for _ in range(32):
            zeros.write(bytes(1 << 20))
    refused(archive, "more than 300 times its size, as a decompression bomb does")


def test_a_million_members_are_refused_at_once(tmp_path: Path) -> None:
    record = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    for count in (1, 10_000, 65535):
        directory = record * 1_000_000
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), 0, 0)
        (tmp_path / "many.mar").write_bytes(directory + end)
        started = time.perf_counter()
        refused(tmp_path / "many.mar", "more than 10000 members|10000 members and lists 10001|is there twice")
        assert time.perf_counter() - started < 1


# damage


def damaged(tmp_path: Path, data: bytes, original: dict[str, bytes]) -> None:
    """An archive after damage either is refused and leaves nothing, or unpacks to what was packed."""
    archive, out = tmp_path / "damaged.mar", tmp_path / "out"
    archive.write_bytes(data)
    try:
        unpack(archive, out)
    except ArchiveError:
        assert not os.path.lexists(out)
        return
    for name, content in original.items():
        if (out / name).exists():
            assert (out / name).read_bytes() == content
    shutil.rmtree(out)


@pytest.fixture
def whole(project: Path, config: Callable[..., ModelArchiverConfig]) -> bytes:
    """The bytes of an archive that is right."""
    return pack(config(extra_files="assets")).read_bytes()


def test_an_archive_cut_off_anywhere_is_refused(tmp_path: Path, whole: bytes) -> None:
    for length in range(0, len(whole), 97):
        (tmp_path / "cut.mar").write_bytes(whole[:length])
        refused(tmp_path / "cut.mar")


def test_a_flipped_bit_never_changes_what_is_unpacked(project: Path, tmp_path: Path, whole: bytes) -> None:
    chance = random.Random(4)
    original = {"weights.pt": (project / "weights.pt").read_bytes(), "top.txt": b"top"}
    for _ in range(300):
        data = bytearray(whole)
        data[chance.choice([chance.randrange(len(data)), chance.randrange(9000, len(data))])] ^= 1 << chance.randrange(
            8
        )
        damaged(tmp_path, bytes(data), original)
