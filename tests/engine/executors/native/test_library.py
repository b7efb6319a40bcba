"""The library: variants, threads, forks, and refusals."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numserve.engine.executors.native import library as native
from numserve.engine.executors.native.executor import BUILDERS
from numserve.engine.executors.native.library import Library, NativeUnavailable, find, load, runnable, variants
from numserve.engine.executors.native.program import Segment, scratch_for
from numserve.engine.executors.native.work import Shop, builder_of

from .steps import VARIANTS, Step, make, random, reference


def _step() -> Step:
    return make("gemm", random(1, 64, 128), random(2, 128, 100), random(3, 100), None, activation="relu")


def _segment(step: Step, threads: int) -> Segment:
    library = load()
    candidates = builder_of(step, BUILDERS, Shop(library, threads))
    assert candidates
    works = [work for build in candidates.values() for work in build()] * 20
    return Segment(library, works, scratch_for(works, threads))


def test_the_portable_variant_runs_everywhere_and_is_the_last() -> None:
    assert variants(find())[-1] == runnable(find())[-1] == "portable"


def test_the_best_variant_is_taken_unless_one_is_named() -> None:
    assert load().variant == VARIANTS[0]
    assert load("portable").variant == "portable"


def test_an_unknown_variant_is_refused_with_those_there_are() -> None:
    with pytest.raises(NativeUnavailable, match="'sse9' do not run here; expected one of .*portable"):
        Library(find(), "sse9")


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "_kernels.so").write_bytes(b"not a library")
    with pytest.raises(NativeUnavailable, match="_kernels.so"):
        Library(tmp_path / "_kernels.so")


def test_kernels_of_another_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "ABI_VERSION", 999)
    native._open.cache_clear()
    with pytest.raises(NativeUnavailable, match="built from other sources"):
        Library(find())


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_many_runs_on_many_threads_are_right(threads: int) -> None:
    step = _step()
    segment, expected = _segment(step, threads), reference(step)
    for _ in range(100):
        step.output.fill(np.nan)
        segment()
        np.testing.assert_allclose(step.output, expected, rtol=1e-4, atol=1e-4)


def test_two_python_threads_run_programs_at_the_same_time() -> None:
    steps = [_step(), _step()]
    segments = [_segment(step, 2) for step in steps]
    others = [threading.Thread(target=lambda s=s: [s() for _ in range(50)]) for s in segments]  # type: ignore[misc]
    for other in others:
        other.start()
    for other in others:
        other.join()
    for step in steps:
        np.testing.assert_allclose(step.output, reference(step), rtol=1e-4, atol=1e-4)


def test_a_forked_process_makes_threads_of_its_own() -> None:
    step = _step()
    segment = _segment(step, 2)
    segment()
    child = os.fork()
    if child == 0:
        segment()
        os._exit(0 if np.allclose(step.output, reference(step), atol=1e-4) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_threads_pool_ends_with_it() -> None:
    before = len(os.listdir("/proc/self/task"))
    other = threading.Thread(target=_segment(_step(), 4))
    other.start()
    other.join()  # which returns before the thread's own end, and that is what ends its pool
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/task")) > before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(os.listdir("/proc/self/task")) <= before


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_times_are_told_step_by_step(threads: int) -> None:
    """Each from the end of the step before, whichever thread saw it: none is too short for the work that is in it."""
    segment = _segment(_step(), threads)
    rounds = []
    for _ in range(30):
        start = time.perf_counter()
        rounds.append(segment.times())
        assert 0 < sum(rounds[-1]) <= time.perf_counter() - start
    assert all(len(times) == len(segment.works) and min(times) > 0 for times in rounds)
