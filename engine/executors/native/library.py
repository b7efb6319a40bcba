"""Library, the compiled kernels: found beside this file, checked, and chosen by what the processor can."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path

from .structures import ABI_VERSION, SIZES, NativeStep

STEM = "_kernels"


class NativeUnavailable(ImportError):
    """The kernels were not built, do not fit this package, or do not run on this processor."""


class Library:
    """The kernels of one variant: "avx512", "avx2" or "portable"."""

    def __init__(self, path: Path, variant: str | None = None) -> None:
        self.path = path
        self._calls = _open(path)
        self.variant, self._kernels = self._choose(variant)
        self.lanes: int = self._calls.numserve_native_lanes(self._kernels)
        self.max_vectors: int = self._calls.numserve_native_vectors(self._kernels)
        self.rows = {v: self._calls.numserve_native_rows(self._kernels, v) for v in range(1, self.max_vectors + 1)}

    def run(
        self,
        steps: ctypes.Array[NativeStep],
        scratch: ctypes.Array[c_void_p],
        seconds: ctypes.Array[c_double] | None = None,
    ) -> None:
        """Run steps with as many threads as there are scratch buffers; `seconds` takes the time of each."""
        pool = _pools.of(self, len(scratch))
        self._calls.numserve_native_run(pool, self._kernels, steps, len(steps), scratch, seconds)

    def forget(self, address: int, size: int) -> None:
        """Drop memory from the caches."""
        self._calls.numserve_native_forget(address, size)

    def new_pool(self, threads: int) -> int:
        """Threads to run steps with."""
        pool: int | None = self._calls.numserve_native_pool(threads)
        if pool is None:
            raise MemoryError(f"the system gives no {threads} threads")
        return pool

    def end_pool(self, pool: int, owner: int) -> None:
        """Let the threads go; those of the process before a fork are not there any more."""
        if owner == os.getpid():
            self._calls.numserve_native_pool_end(pool)

    def _choose(self, wanted: str | None) -> tuple[str, int]:
        names = variants(self.path) if wanted is None else (wanted,)
        for name in names:
            kernels: int | None = self._calls.numserve_native_kernels(name.encode())
            if kernels is not None:
                return name, kernels
        raise NativeUnavailable(
            f"native kernels {wanted!r} do not run here; expected one of {', '.join(variants(self.path))}"
        )


class _Pools(threading.local):
    """Each Python thread's pools by size: made when first used, and anew after a fork, which threads do not survive."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, int], tuple[int, int]] = {}
        self._holder = _Holder()

    def of(self, library: Library, threads: int) -> int | None:
        if threads == 1:
            return None
        key = str(library.path), threads
        pool, owner = self._pools.get(key, (0, 0))
        if owner != os.getpid():
            pool, owner = library.new_pool(threads), os.getpid()
            self._pools[key] = pool, owner
            weakref.finalize(self._holder, library.end_pool, pool, owner)
        return pool


class _Holder:
    """Lives as long as its Python thread."""


_pools = _Pools()


def find() -> Path:
    """Where the compiled kernels lie.

    Raises: NativeUnavailable where they were not built.
    """
    here = Path(__file__).parent
    found = sorted(here.glob(f"{STEM}*.so"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise NativeUnavailable(
            "the native kernels are not built; install a C compiler, then run python -m "
            "numserve.engine.executors.native.build"
        )
    return found[-1]


@cache
def variants(path: Path) -> tuple[str, ...]:
    """The variants that a library holds, best first."""
    calls = _open(path)
    names = iter(lambda: calls.numserve_native_variant(len(found)), None)
    found: list[str] = []
    for name in names:
        found.append(name.decode())
    return tuple(found)


def runnable(path: Path) -> tuple[str, ...]:
    """The variants that this processor can run, best first."""
    calls = _open(path)
    return tuple(name for name in variants(path) if calls.numserve_native_kernels(name.encode()) is not None)


@cache
def load(variant: str | None = None) -> Library:
    """The library of the package, by the best variant unless one is named."""
    return Library(find(), variant)


@cache
def _open(path: Path) -> ctypes.CDLL:
    try:
        calls = ctypes.CDLL(str(path))
        version, layout = calls.numserve_native_version, calls.numserve_native_layout
    except (OSError, AttributeError) as error:
        raise NativeUnavailable(f"{path}: {error}") from error
    sizes = tuple(layout(index) for index in range(len(SIZES)))
    if version() != ABI_VERSION or sizes != SIZES or layout(len(SIZES)):
        raise NativeUnavailable(
            f"{path} was built from other sources (version {version()}, expected {ABI_VERSION}); run python -m "
            "numserve.engine.executors.native.build"
        )
    calls.numserve_native_variant.restype = c_char_p
    calls.numserve_native_kernels.restype, calls.numserve_native_kernels.argtypes = c_void_p, [c_char_p]
    calls.numserve_native_lanes.argtypes = calls.numserve_native_vectors.argtypes = [c_void_p]
    calls.numserve_native_rows.argtypes = [c_void_p, c_int]
    calls.numserve_native_pool.restype, calls.numserve_native_pool.argtypes = c_void_p, [c_int]
    calls.numserve_native_pool_end.argtypes, calls.numserve_native_pool_end.restype = [c_void_p], None
    calls.numserve_native_forget.restype, calls.numserve_native_forget.argtypes = None, [c_void_p, c_int64]
    calls.numserve_native_run.restype = None
    calls.numserve_native_run.argtypes = [
        c_void_p, c_void_p, POINTER(NativeStep), c_int, POINTER(c_void_p), POINTER(c_double),
    ]  # fmt: skip
    return calls
