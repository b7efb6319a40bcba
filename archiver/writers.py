"""The three ways to hold the files of an archive together: ZIP, tar.gz, a plain folder."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from .errors import ArchiveError
from .manifest import MANIFEST_NAME
from .sources import Member
from .zip_reader import LOCAL

PIECE_BYTES = 1 << 20
ALIGNMENT = 64
"""Stored data begins at a multiple of this, so that arrays in it can be mapped."""
ALIGNMENT_EXTRA = 0xD935  # the field that Android's zipalign pads with: the alignment, then zeros
ZIP64_EXTRA_BYTES = 20
"""What a local header of a file beyond 2 GiB has on top (APPNOTE 4.5.3)."""
DEFLATE_UP_TO = 8 << 20
"""Larger files are stored: packing them takes long and gains little."""
TENSOR_SUFFIXES = (".bin", ".ckpt", ".gguf", ".h5", ".model", ".npy", ".safetensors")
PROGRAM_SUFFIXES = (".onnx", ".pb", ".pickle", ".pkl", ".pt", ".pt2", ".pth", ".ts")
COMPRESSED_SUFFIXES = (".gz", ".jpeg", ".jpg", ".mar", ".npz", ".png", ".tgz", ".webp", ".whl", ".xz", ".zip", ".zst")
DENSE_SUFFIXES = TENSOR_SUFFIXES + PROGRAM_SUFFIXES + COMPRESSED_SUFFIXES

Tell = Callable[[int], None]
"""Is told the number of bytes after each piece."""


def write_zip(
    out: BinaryIO,
    members: Sequence[Member],
    manifest: bytes,
    tell: Tell,
    *,
    store: bool = False,
    manifest_name: str = MANIFEST_NAME,
) -> None:
    """A .mar file: text deflated (unless `store`), weights stored and aligned, the manifest last."""
    with zipfile.ZipFile(out, "w") as archive:
        for member in members:
            info = zipfile.ZipInfo.from_file(member.path, member.name, strict_timestamps=False)
            info.compress_type = zipfile.ZIP_STORED if store or _packed(member, info) else zipfile.ZIP_DEFLATED
            with member.path.open("rb") as source:
                _add(archive, out, info, source, tell)
        info = zipfile.ZipInfo(manifest_name, time.localtime()[:6])
        info.compress_type = zipfile.ZIP_STORED if store else zipfile.ZIP_DEFLATED
        info.file_size = len(manifest)
        info.external_attr = 0o100644 << 16
        _add(archive, out, info, io.BytesIO(manifest), tell)


def write_tgz(out: BinaryIO, top: str, members: Sequence[Member], manifest: bytes, tell: Tell) -> None:
    """A .tar.gz file with everything under the folder `top`; the manifest first, where it is found soonest."""
    with (
        gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        archive.addfile(_tar_info(f"{top}/{MANIFEST_NAME}", len(manifest), int(time.time())), io.BytesIO(manifest))
        for member in members:
            with member.path.open("rb") as source:
                status = os.fstat(source.fileno())
                info = _tar_info(f"{top}/{member.name}", status.st_size, int(status.st_mtime))
                archive.addfile(info, _Told(source, tell))


def write_folder(out: Path, members: Sequence[Member], manifest: bytes, tell: Tell) -> None:
    """The files as they are, in a folder."""
    for member in members:
        target = out / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.path.open("rb") as source, target.open("xb") as copy:
            _copy(source, copy, tell)
        shutil.copystat(member.path, target)
    place = out / MANIFEST_NAME
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(manifest)


def _packed(member: Member, info: zipfile.ZipInfo) -> bool:
    """Whether deflating the file would be work for nothing."""
    suffix = member.path.suffix.lower()
    return member.weights or suffix in DENSE_SUFFIXES or info.file_size > DEFLATE_UP_TO


def _add(archive: zipfile.ZipFile, out: BinaryIO, info: zipfile.ZipInfo, source: BinaryIO, tell: Tell) -> None:
    wide = info.file_size * 1.05 > zipfile.ZIP64_LIMIT  # the margin is for deflate, which may grow a little
    if info.compress_type == zipfile.ZIP_STORED:
        header = LOCAL.size + len(info.filename.encode()) + (ZIP64_EXTRA_BYTES if wide else 0)
        info.extra = _padding(out.tell() + header)
    expected = info.file_size
    with archive.open(info, "w", force_zip64=wide) as target:
        copied = _copy(source, target, tell)
    if copied != expected:
        raise ArchiveError(f"{info.filename} changed while it was being packed; run again when nothing writes to it")
    info.extra = b""  # the local header is written; the directory needs no padding


def _padding(start: int) -> bytes:
    """An extra field (APPNOTE 4.5.1) that moves data which would begin at `start` to a multiple of ALIGNMENT."""
    if start % ALIGNMENT == 0:
        return b""
    count = -(start + 6) % ALIGNMENT
    return struct.pack("<3H", ALIGNMENT_EXTRA, 2 + count, ALIGNMENT) + bytes(count)


def _copy(source: BinaryIO, target: object, tell: Tell) -> int:
    copied = 0
    while piece := source.read(PIECE_BYTES):
        target.write(piece)  # type: ignore[attr-defined]
        copied += len(piece)
        tell(len(piece))
    return copied


def _tar_info(name: str, size: int, modified: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, modified, 0o644
    return info


class _Told(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, tell: Tell) -> None:
        self._file = file
        self._tell = tell

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._tell(len(piece))
        return piece
