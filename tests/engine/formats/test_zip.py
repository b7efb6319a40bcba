"""Zip archives that are damaged or lie about themselves."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from numserve.engine.errors import FormatError
from numserve.engine.formats.limits import Limits
from numserve.engine.formats.mapping import map_file
from numserve.engine.formats.zip import Archive

Write = Callable[..., Path]
RECORDS = {"data.pkl": b"pickle", "data/0": bytes(range(200)), "version": b"3\n"}


def changed(path: Path, change: Callable[[bytearray], bytearray | bytes | None]) -> Path:
    """The file after a change, made in place or returned."""
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content) or content)
    return path


def central(content: bytearray, record: int) -> int:
    """Where the record's entry in the directory begins."""
    position = -1
    for _ in range(record + 1):
        position = content.index(b"PK\x01\x02", position + 1)
    return position


def patch(signature: bytes, offset: int, form: str, value: int) -> Callable[[bytearray], None]:
    """Overwrite a field behind the last signature of its kind."""

    def change(content: bytearray) -> None:
        struct.pack_into(form, content, content.rindex(signature) + offset, value)

    return change


def test_records_are_found_below_any_root(zipped: Write) -> None:
    archive = Archive(map_file(zipped(RECORDS, root="some model/")))
    assert archive.root == "some model"
    assert archive.read("data/0") == bytes(range(200))
    assert "version" in archive
    assert "missing" not in archive


def test_a_stored_record_is_mapped_and_a_deflated_one_is_not(zipped: Write) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        array = Archive(map_file(zipped(RECORDS, method))).array("data/0")
        assert array.tobytes() == bytes(range(200))
        assert array.flags.writeable


def swap_first_entries(content: bytearray) -> None:
    """Two entries with each other's header offset."""
    first, second = central(content, 0), central(content, 1)
    content[first + 42 : first + 46], content[second + 42 : second + 46] = (
        content[second + 42 : second + 46],
        content[first + 42 : first + 46],
    )


LIES: dict[str, Callable[[bytearray], bytearray | bytes | None]] = {
    "cut in the directory": lambda c: c[:-30],
    "cut in half": lambda c: c[: len(c) // 2],
    "something behind the end": lambda c: c + b"x" * 30,
    "something before the beginning": lambda c: b"PK\x03\x04" + c,
    "a directory beyond the end": patch(b"PK\x05\x06", 16, "<L", 1 << 30),
    "a directory of 4 GB": patch(b"PK\x05\x06", 12, "<L", 0xFFFFFFFF),
    "more entries than there are": patch(b"PK\x05\x06", 10, "<H", 60_000),
    "a second disk": patch(b"PK\x05\x06", 4, "<H", 2),
    "an encrypted record": patch(b"PK\x01\x02", 8, "<H", 1),
    "an unknown compression": patch(b"PK\x01\x02", 10, "<H", 12),
    "two sizes of a stored record": patch(b"PK\x01\x02", 24, "<L", 1),
    "a size of 64 bits that is not there": patch(b"PK\x01\x02", 24, "<L", 0xFFFFFFFF),
    "a header beyond the end": patch(b"PK\x01\x02", 42, "<L", 1 << 30),
    "headers swapped": swap_first_entries,
}


@pytest.mark.parametrize("name", LIES)
def test_an_archive_that_lies_is_refused(name: str, zipped: Write) -> None:
    path = changed(zipped(RECORDS), LIES[name])
    with pytest.raises(FormatError):
        read_all(path)


def read_all(path: Path) -> dict[str, bytes]:
    archive = Archive(map_file(path))
    return {name: archive.read(name.partition("/")[2]) for name in archive.records}


def test_two_records_of_one_name_are_refused(zipped: Write) -> None:
    path = changed(zipped({"data.pkl": b"a", "data.pk2": b"b"}), lambda c: c.replace(b"data.pk2", b"data.pkl"))
    with pytest.raises(FormatError, match="two records of one name"):
        read_all(path)


def test_records_that_overlap_are_refused(zipped: Write) -> None:
    def overlap(content: bytearray) -> None:
        entry = central(content, 0)
        struct.pack_into("<2L", content, entry + 20, 100, 100)

    with pytest.raises(FormatError, match="overlap"):
        read_all(changed(zipped(RECORDS), overlap))


def test_a_record_that_fails_its_checksum_is_refused(zipped: Write) -> None:
    path = changed(zipped(RECORDS), lambda c: c.replace(b"pickle", b"pickls"))
    with pytest.raises(FormatError, match="checksum"):
        Archive(map_file(path)).read("data.pkl")


def test_checksums_that_were_not_computed_are_passed_over(zipped: Write) -> None:
    def clear(content: bytearray) -> None:
        for record in range(len(RECORDS)):
            struct.pack_into("<L", content, central(content, record) + 16, 0)

    assert read_all(changed(zipped(RECORDS), clear))["archive/data.pkl"] == b"pickle"


def test_a_bomb_is_refused_before_it_unfolds(zipped: Write) -> None:
    path = zipped({"data/0": b"\0" * (8 << 20)}, zipfile.ZIP_DEFLATED)
    limits = Limits(inflated_bytes=1 << 20, inflation=1)
    tracemalloc.start()
    with pytest.raises(FormatError, match="inflate"):
        Archive(map_file(path), limits).array("data/0")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("declared", [10, 1 << 24])
def test_a_record_inflates_to_what_it_declares_or_is_refused(declared: int, zipped: Write) -> None:
    path = zipped({"data/0": b"\0" * 100_000}, zipfile.ZIP_DEFLATED)
    changed(path, patch(b"PK\x01\x02", 24, "<L", declared))
    tracemalloc.start()
    with pytest.raises(FormatError, match="does not inflate"):
        Archive(map_file(path)).array("data/0")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_damaged_compression_is_refused(zipped: Write) -> None:
    path = zipped({"data/0": bytes(range(256)) * 50}, zipfile.ZIP_DEFLATED)

    def damage(content: bytearray) -> None:
        content[45:60] = b"\xff" * 15

    with pytest.raises(FormatError):
        Archive(map_file(changed(path, damage))).array("data/0")


def test_more_records_than_any_checkpoint_has_are_refused(zipped: Write) -> None:
    with pytest.raises(FormatError, match="3 records; at most 2"):
        Archive(map_file(zipped(RECORDS)), Limits(records=2))


def test_64_bit_sizes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "wide.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a/b", "w", force_zip64=True) as record:
        record.write(b"content")
    # What zipfile writes only for more than 4 GB: the sizes and the end of the directory in 64 bits.
    assert Archive(map_file(changed(path, widen))).read("b") == b"content"


def widen(content: bytearray) -> bytes:
    start, end = central(content, 0), content.rindex(b"PK\x05\x06")
    entry = content[start:end]
    name = bytes(entry[46 : 46 + entry[28]])
    extra = struct.pack("<2H3Q", 1, 24, 7, 7, 0)
    struct.pack_into("<2L2H", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
    struct.pack_into("<L", entry, 42, 0xFFFFFFFF)
    directory = bytes(entry[:46]) + name + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(directory), start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(directory), 1)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return bytes(content[:start]) + directory + end64 + locator + tail
