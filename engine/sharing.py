"""Large arrays that several processes make alike, held once: as files that all of them map.

The workers of a model bring its weights into the same orders. Where share_in() has named a folder that only they write
to, shared() gives such an array back as a file's pages, which the processes have in common until one of them writes.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .dtype import Array
from .formats.mapping import map_file, window
from .formats.writing import staged

logger = logging.getLogger(__name__)

LEAST = 1 << 18  # bytes from which an array is worth a file
LARGE = 1 << 24  # bytes from which a second copy of an array is worth avoiding, at some cost
_SAMPLES, _SLICE = 4096, 1 << 20
_PRESENT, _SWAPPED, _OF_A_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))  # Source: Linux, pagemap.rst

_folder: Path | None = None
_arrays = True
_ours: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def share_in(folder: Path | None, arrays: bool = True) -> None:
    """Share arrays, or only what is known of files, with the processes that name this folder; None: with none."""
    global _folder, _arrays
    _folder, _arrays = folder, arrays


def folder_in_common() -> Path | None:
    """The folder that share_in() has named."""
    return _folder


def shared(array: Array) -> Array:
    """The array with its elements in a file's pages; itself where it is small, not in order, or mapped already."""
    if _folder is None or not _arrays or array.nbytes < LEAST or not array.flags.c_contiguous or is_mapped(array):
        return array
    try:
        return _held(_folder, array)
    except OSError as error:
        logger.warning("weights are not shared with other workers: %s", error)
        share_in(_folder, arrays=False)
        return array


def let_go(array: Array) -> None:
    """Hand back the pages of a shared or borrowed array that will hardly be read again.

    Whoever does so all the same gets them from the file; pages that somebody has written to stay.
    """
    memory = _memory_of(array)
    if memory is None:
        return
    if memory in _ours:
        memory.madvise(mmap.MADV_DONTNEED)
    elif is_borrowed(array):
        _let_go_between(memory, *np.lib.array_utils.byte_bounds(array))


def is_mapped(array: Array) -> bool:
    """Whether the elements are a file's pages."""
    return _memory_of(array) is not None


def is_borrowed(array: Array) -> bool:
    """Whether the elements are a file's pages that are copied before they are changed, as parameters do."""
    return not array.flags.writeable and is_mapped(array)


def stays_in_its_file(array: Array) -> bool:
    """Whether an array is better read where it is, in whatever order, than copied."""
    return array.nbytes >= LARGE and array.flags.aligned and is_borrowed(array)


def _let_go_between(memory: mmap.mmap, start: int, end: int) -> None:
    """Hand back the whole pages between two addresses, as long as none of them was written to."""
    begin = np.frombuffer(memory, np.uint8).ctypes.data
    first, last = -(-start // mmap.PAGESIZE), end // mmap.PAGESIZE
    if first < last and _as_in_the_file(first, last):
        memory.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE - begin, (last - first) * mmap.PAGESIZE)


def _as_in_the_file(first: int, last: int) -> bool:
    """Whether these pages of the process are a file's or not there; not so where the system does not tell."""
    try:
        with open("/proc/self/pagemap", "rb") as file:
            file.seek(8 * first)
            pages = np.frombuffer(file.read(8 * (last - first)), np.uint64)
    except OSError:
        return False
    own = (pages & _PRESENT != 0) & (pages & _OF_A_FILE == 0) | (pages & _SWAPPED != 0)
    return len(pages) == last - first and not own.any()


def _memory_of(array: Array) -> mmap.mmap | None:
    base: object = array
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None


def _held(folder: Path, array: Array) -> Array:
    """The array as the folder has it, written there by the first who comes."""
    data = array.reshape(-1).view(np.uint8)
    path = folder / _name(array, data)
    with _alone(folder):
        if not path.exists():
            with staged(path) as partial:
                partial.write_bytes(data.data)
        memory = map_file(path)
    mapped = window(memory, 0, len(memory))
    if not _equal(mapped, data):
        return array
    _ours.add(memory)
    return mapped.view(array.dtype).reshape(array.shape)


def _name(array: Array, data: Array) -> str:
    """A name that arrays of other contents hardly have; whether they are equal is looked at."""
    some = np.ascontiguousarray(data[:: data.size // _SAMPLES | 1])
    return f"{array.dtype.name}-{'x'.join(map(str, array.shape))}-{zlib.crc32(some.data):08x}"


def _equal(a: Array, b: Array) -> bool:
    """Whether bytes are the same, without a copy of all."""
    return a.size == b.size and all(
        np.array_equal(a[start : start + _SLICE], b[start : start + _SLICE]) for start in range(0, a.size, _SLICE)
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Have the folder, while the other processes wait."""
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
